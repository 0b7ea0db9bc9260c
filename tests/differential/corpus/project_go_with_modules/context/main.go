package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/google/uuid"
)

var version = "dev"

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, version, uuid.New())
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
