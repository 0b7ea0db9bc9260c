//! A static frontend with a containerized backend (features R7, A15, A16).

use e2e::{Dev, Project};
use serde_json::json;

#[test]
fn r7_the_api_is_answered_by_a_container_and_all_else_by_assets() {
    let dev = Dev::start(&Project::example("static-frontend"));
    let page = dev.get("/");
    assert_eq!(page.status, 200, "{page}");
    assert!(page.text().contains("<title>Widgets</title>"), "{page}");
    assert!(page.headers["content-type"].starts_with("text/html"), "{:?}", page.headers);

    let widgets = dev.get("/api/widgets");
    assert_eq!(
        widgets.json(),
        json!([
            { "id": 1, "name": "Widget A" },
            { "id": 2, "name": "Sprocket B" },
            { "id": 3, "name": "Gear C" },
        ])
    );
    assert_eq!(dev.get("/api/elsewhere").status, 404);
    dev.stop();
}

#[test]
fn a15_assets_have_types_etags_and_a_404() {
    let dev = Dev::start(&Project::example("static-frontend"));
    let script = dev.get("/widgets.js");
    assert!(script.headers["content-type"].contains("javascript"), "{:?}", script.headers);
    assert!(script.headers.contains_key("etag"), "{:?}", script.headers);
    assert!(dev.get("/style.css").headers["content-type"].starts_with("text/css"));
    assert_eq!(dev.get("/nothing-here").status, 404);
    dev.stop();
}
