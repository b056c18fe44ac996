// Package web holds the pages for browsers, built from the npm project in this folder and compiled into the program.
// It only serves files: it knows nothing of the broker, sets no security headers (the listener does) and never sees a
// token, which stays in the browser.
package web

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed all:dist
var dist embed.FS

//go:embed unbuilt.html
var unbuilt []byte

// Handler serves the built pages. In a program compiled without them, it serves a page with build instructions. It
// answers GET and HEAD only.
func Handler() http.Handler {
	root, err := fs.Sub(dist, "dist")
	if err != nil { // cannot happen: the directive above names the folder
		panic(err)
	}
	return newHandler(root)
}

// Built reports whether the program was compiled with the pages.
func Built() bool {
	_, err := fs.Stat(dist, "dist/"+indexFile)
	return err == nil
}

func newHandler(root fs.FS) http.Handler {
	site, err := load(root)
	if err != nil {
		panic(err) // an embedded file cannot be read: the program itself is broken
	}
	if site[indexFile] == nil {
		site[indexFile] = newFile(indexFile, unbuilt)
	}
	return site
}
