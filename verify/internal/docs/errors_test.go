package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strconv"
	"strings"
	"testing"
)

// parts are texts without the prefix of their package: each is only ever a part of an
// error, or of a test's failure, that has it.
var parts = []string{
	`fsm: runtime.Goexit was called`,
	`fsm: the resource failed; no cause was given`,
	`producer: ask for the credentials: %w`,
	`producer: the user or the password is not fit for `,
	`producer: the StopTimeout has passed: %w`,
	`producer: not ready within the StartTimeout: %w`,
	`producer: no answer within the ReadTimeout: %w`,
	`producer: runtime.Goexit was called`,
	`producer: the port %q is not a number`,
	`producer: the port %d is not within 1 to 65535`,
	`producer: the host is empty`,
	`producer: the host has a space, a comma or a slash`,
	`producer: not declared in Config.Topic or Config.Topics`,
	`producer: the message names no topic, and there is no Config.Topic`,
	`resilience: counts neither as a failure nor as a success`,
}

// Every error and panic of a public package begins with the package's name, as the
// standard library's do: a reader of a log knows where it comes from. Package conformance
// has no errors: it fails tests.
func TestErrorsNameTheirPackage(t *testing.T) {
	_, _, sources := load(t)
	part, seen := make(map[string]bool), make(map[string]bool)
	for _, p := range parts {
		part[p] = true
	}
	checked := 0
	dirs := make(map[string]bool)
	for _, p := range publics(t) {
		dirs[p.dir] = p.dir != "conformance"
	}
	for name, text := range sources {
		if !dirs[path.Dir(name)] || strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			said, ok := errorText(n)
			if !ok {
				return true
			}
			checked++
			whole := f.Name.Name + ": " + said
			switch {
			case strings.HasPrefix(said, f.Name.Name+": "):
			case part[whole]:
				seen[whole] = true
			default:
				t.Errorf("%s: %q does not begin with %q", fset.Position(n.Pos()), said, f.Name.Name+": ")
			}
			return true
		})
	}
	for p := range part {
		if !seen[p] {
			t.Errorf("no package has %q any more: strike it out", p)
		}
	}
	if checked < 50 {
		t.Errorf("%d texts were found; want 50 or more", checked)
	}
	fmt.Printf("CHECKED docs error-texts=%d parts=%d\n", checked, len(parts))
}

// errorText returns the text with which an error or a panic begins, if n makes one of a text.
func errorText(n ast.Node) (text string, ok bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	switch called(call) {
	case "errors.New", "fmt.Errorf", "panic":
	default:
		return "", false
	}
	first := call.Args[0]
	if inner, ok := first.(*ast.CallExpr); ok && called(inner) == "fmt.Sprintf" && len(inner.Args) > 0 {
		first = inner.Args[0]
	}
	for {
		sum, ok := first.(*ast.BinaryExpr)
		if !ok {
			break
		}
		first = sum.X
	}
	lit, ok := first.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// called returns the name of the called function: "panic", "errors.New".
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if of, ok := f.X.(*ast.Ident); ok {
			return of.Name + "." + f.Sel.Name
		}
	}
	return ""
}
