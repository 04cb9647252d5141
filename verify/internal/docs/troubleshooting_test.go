package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// docs/troubleshooting.md has each exported error of the packages that run in a program, and
// the text of each error that they, and the producer's internal packages, make of a text. A
// panic is not in it: its text says what the program has to change.
func TestTroubleshootingNamesEveryError(t *testing.T) {
	_, pages, sources := load(t)
	page, names, texts := pages["docs/troubleshooting.md"], 0, 0
	dirs := make(map[string]bool)
	for _, p := range publics(t) {
		if top, _, _ := strings.Cut(p.dir, "/"); top != "fsm" && top != "producer" && top != "resilience" {
			continue
		}
		dirs[p.dir] = true
		var exported []string
		for _, v := range p.doc.Vars {
			exported = append(exported, v.Names...)
		}
		for _, of := range p.doc.Types {
			exported = append(exported, of.Name)
			for _, v := range of.Vars {
				exported = append(exported, v.Names...)
			}
		}
		for _, name := range exported {
			if !token.IsExported(name) || !strings.HasPrefix(name, "Err") && !strings.HasSuffix(name, "Error") {
				continue
			}
			names++
			if !strings.Contains(page, "`"+p.doc.Name+"."+name+"`") {
				t.Errorf("docs/troubleshooting.md has no %s.%s", p.doc.Name, name)
			}
		}
	}
	for name, text := range sources {
		internal := strings.HasPrefix(name, "producer/internal/")
		if !dirs[path.Dir(name)] && !internal || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var where []ast.Node
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); !internal || ok && g.Tok == token.VAR { // internal: the sentinels
				where = append(where, d)
			}
		}
		for _, d := range where {
			ast.Inspect(d, func(n ast.Node) bool {
				said, ok := errorText(n)
				if !ok || called(n.(*ast.CallExpr)) == "panic" {
					return true
				}
				said, _, _ = strings.Cut(said, "%")
				said = strings.Trim(said, `:" `)
				if texts++; !strings.Contains(page, said) && !slices.Contains([]string{"group"}, said) {
					t.Errorf("%s: docs/troubleshooting.md has no %q", name, said)
				}
				return true
			})
		}
	}
	if names < 10 || texts < 30 {
		t.Errorf("found %d names and %d texts: the packages have more", names, texts)
	}
	t.Logf("CHECKED docs troubleshooting names=%d texts=%d", names, texts)
}
