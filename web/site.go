package web

import (
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

const (
	indexFile = "index.html"
	// The build puts a content hash into the name of every file in this folder, so browsers may cache them for ever.
	hashedFolder = "assets/"
)

// encodings are the suffixes of precompressed files, best first.
var encodings = []struct{ suffix, name string }{{".br", "br"}, {".gz", "gzip"}}

// contentTypes are those of the build's files. Package mime depends on the machine.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// site holds the files by path without the leading slash. It does not change once loaded.
type site map[string]*file

type file struct {
	contentType string
	cache       string
	plain       *body
	compressed  map[string]*body // by content encoding
}

type body struct {
	bytes []byte
	etag  string
}

// load reads every file of root. name.br and name.gz beside name are its other encodings.
func load(root fs.FS) (site, error) {
	s := site{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, name)
		if err == nil {
			s.add(root, name, data)
		}
		return err
	})
	return s, err
}

func (s site) add(root fs.FS, name string, data []byte) {
	for _, e := range encodings {
		base, ok := strings.CutSuffix(name, e.suffix)
		if !ok {
			continue
		}
		// WalkDir is in lexical order, so the plain file has been added before its encodings.
		if f := s[base]; f != nil {
			f.compressed[e.name] = newBody(data)
			return
		}
	}
	s[name] = newFile(name, data)
}

func newFile(name string, data []byte) *file {
	contentType := contentTypes[path.Ext(name)]
	if contentType == "" {
		contentType = http.DetectContentType(data)
	}
	cache := "no-cache" // cached, but revalidated: 304 if unchanged
	if strings.HasPrefix(name, hashedFolder) {
		cache = "public, max-age=31536000, immutable"
	}
	return &file{contentType: contentType, cache: cache, plain: newBody(data), compressed: map[string]*body{}}
}

func newBody(data []byte) *body {
	sum := sha256.Sum256(data)
	return &body{bytes: data, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// ServeHTTP serves the file that the path names, and the index for the root.
func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed: these are pages, use GET", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = indexFile
	}
	f := s[name]
	if f == nil {
		http.Error(w, "no such page; the dashboard is at /", http.StatusNotFound)
		return
	}
	f.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	b, encoding := f.negotiate(r.Header.Get("Accept-Encoding"))
	h := w.Header()
	h.Set("Cache-Control", f.cache)
	h.Set("ETag", b.etag)
	if len(f.compressed) > 0 {
		h.Set("Vary", "Accept-Encoding")
	}
	if matches(r.Header.Get("If-None-Match"), b.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(b.bytes)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(b.bytes) // the reader may have gone away
	}
}

// negotiate returns the best available encoding that the client accepts, or none.
func (f *file) negotiate(accept string) (b *body, encoding string) {
	for _, e := range encodings {
		if b := f.compressed[e.name]; b != nil && accepts(accept, e.name) {
			return b, e.name
		}
	}
	return f.plain, ""
}

// accepts reports whether an Accept-Encoding names an encoding without refusing it by q=0 (RFC 9110 12.5.3).
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			q, isQ := strings.CutPrefix(strings.TrimSpace(params), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			return !isQ || err == nil && weight > 0
		}
	}
	return false
}

// matches reports whether an If-None-Match contains etag (RFC 9110 13.1.2: weak comparison).
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == etag || part == "*" {
			return true
		}
	}
	return false
}
