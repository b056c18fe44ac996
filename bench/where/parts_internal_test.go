package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEngineHasTheFunctions looks up each listed function of the engine in its source.
func TestEngineHasTheFunctions(t *testing.T) {
	for _, p := range parts {
		for _, begins := range p.functions {
			folder := begins[:strings.IndexByte(begins, '.')]
			if !strings.HasPrefix(folder, "broker") && !strings.HasPrefix(folder, "hooks") {
				continue
			}
			if !slices.ContainsFunc(functionsIn(t, folder), func(f string) bool { return strings.HasPrefix(f, begins) }) {
				t.Errorf("%q: no function begins with %s", p.name, begins)
			}
		}
	}
}

// functionsIn returns the functions of a package as a profile writes them, such as broker.(*conn).feed.
func functionsIn(t *testing.T, folder string) (all []string) {
	t.Helper()
	files, err := filepath.Glob("../../" + folder + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s: %v", folder, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				all = append(all, folder+"."+receiver(f)+f.Name.Name)
			}
		}
	}
	return all
}

// receiver returns the prefix of a method's name, such as (*conn).; empty for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of, pointer := f.Recv.List[0].Type, false
	if star, ok := of.(*ast.StarExpr); ok {
		of, pointer = star.X, true
	}
	name := "?"
	switch of := of.(type) {
	case *ast.Ident:
		name = of.Name
	case *ast.IndexExpr: // of a generic type
		name = of.X.(*ast.Ident).Name + "[...]"
	}
	if pointer {
		return "(*" + name + ")."
	}
	return name + "."
}
