//! A program with one dependency.

fn main() {
    println!("hello {}", itoa::Buffer::new().format(42));
}
