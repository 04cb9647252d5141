package docs

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// A public package, as its documentation sees it, and the code that shows it: its
// Example functions, and all that stands in example_test.go, which has tests too where
// a testing.T is needed.
type public struct {
	dir      string
	doc      *doc.Package
	examples []*doc.Example
	shown    []ast.Node
}

// publics are the packages that others may import.
func publics(t *testing.T) (all []public) {
	t.Helper()
	_, _, sources := load(t)
	files := make(map[string][]*ast.File)
	fset := token.NewFileSet()
	for name, text := range sources {
		dir := path.Dir(name)
		switch top, _, _ := strings.Cut(dir, "/"); top {
		case "fsm", "producer", "resilience", "spec", "conformance", "observe":
		default:
			continue
		}
		if strings.HasPrefix(dir, "conformance/others") || strings.Contains(dir, "/internal/") { // users do not import them
			continue
		}
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[dir] = append(files[dir], f)
	}
	for dir, of := range files {
		p, err := doc.NewFromFiles(fset, of, "github.com/seed3893aba4/surestart/"+dir)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name == "main" {
			continue
		}
		x := public{dir: dir, doc: p}
		for _, f := range of {
			name := fset.File(f.Pos()).Name()
			if strings.HasSuffix(name, "_test.go") {
				x.examples = append(x.examples, doc.Examples(f)...)
			}
			if path.Base(name) == "example_test.go" {
				x.shown = append(x.shown, f)
			}
		}
		for _, e := range x.examples {
			x.shown = append(x.shown, e.Code)
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b public) int { return strings.Compare(a.dir, b.dir) })
	return all
}

// Those that the standard library calls, rather than a program: they are shown by what
// prints or takes apart a value.
var calledForYou = []string{"Error", "Unwrap", "Is", "As", "String", "GoString", "Format", "LogValue", "MarshalJSON", "MarshalText", "UnmarshalText", "ServeHTTP", "Describe", "Collect"}

// Every exported name of a public package has a comment, and an example that is run. A name is
// shown if an example has it, with three rules for similar names:
//   - one name of a block of constants or variables stands for all;
//   - a type is shown by itself, by a function that makes it, by a constant of it, or by a call of a method that only it has;
//   - a method is shown by an example that is named after it, or by a call of a method of that name if only one type has one, or by a call in an example of its type.
func TestExportedNamesAreShown(t *testing.T) {
	names := 0
	for _, p := range publics(t) {
		missing := func(what, name string) { t.Errorf("%s: %s has no %s", p.dir, name, what) }
		names++
		if p.doc.Doc == "" {
			missing("comment", "the package")
		}
		if len(p.shown) == 0 {
			missing("example", "the package")
		}
		for _, e := range p.examples {
			if e.Output == "" && !e.EmptyOutput {
				t.Errorf("%s: Example%s says not what it prints, and is not run", p.dir, e.Name)
			}
		}
		block := func(v *doc.Value) {
			var exported []string
			for _, name := range v.Names {
				if token.IsExported(name) {
					exported = append(exported, name)
				}
			}
			if len(exported) == 0 {
				return
			}
			names += len(exported)
			if v.Doc == "" && !commentedEach(v.Decl) {
				missing("comment", strings.Join(exported, ", "))
			}
			if !slices.ContainsFunc(exported, func(name string) bool { return p.shows(name) }) {
				missing("example", strings.Join(exported, ", "))
			}
		}
		function := func(f *doc.Func) {
			names++
			if f.Doc == "" {
				missing("comment", f.Name)
			}
			if !p.shows(f.Name) {
				missing("example", f.Name)
			}
		}
		for _, v := range slices.Concat(p.doc.Consts, p.doc.Vars) {
			block(v)
		}
		for _, f := range p.doc.Funcs {
			function(f)
		}
		has := make(map[string]int) // how many types have a method of that name
		for _, of := range p.doc.Types {
			for _, m := range of.Methods {
				has[m.Name]++
			}
		}
		for _, of := range p.doc.Types {
			names++
			if of.Doc == "" {
				missing("comment", of.Name)
			}
			if !p.showsType(of, has) {
				missing("example", of.Name)
			}
			for _, v := range slices.Concat(of.Consts, of.Vars) {
				block(v)
			}
			for _, f := range of.Funcs {
				function(f)
			}
			for _, m := range of.Methods {
				names++
				name := of.Name + "." + m.Name
				if m.Doc == "" && !slices.Contains(calledForYou, m.Name) {
					missing("comment", name)
				}
				if !slices.Contains(calledForYou, m.Name) && !p.calls(of.Name, m.Name, has[m.Name] == 1) {
					missing("example", name)
				}
			}
		}
	}
	if names < 100 {
		t.Errorf("found %d names: the packages have more", names)
	}
	t.Logf("CHECKED docs exported=%d", names)
}

// commentedEach reports whether each specification of a block has a comment of its own.
func commentedEach(d *ast.GenDecl) bool {
	for _, s := range d.Specs {
		if v, ok := s.(*ast.ValueSpec); ok && v.Doc.Text() == "" && v.Comment.Text() == "" {
			return false
		}
	}
	return true
}

// shows reports whether an example has the name.
func (p public) shows(name string) bool { return p.mention(p.doc.Name, name) }

func (p public) showsType(of *doc.Type, has map[string]int) bool {
	for _, f := range of.Funcs {
		if p.shows(f.Name) {
			return true
		}
	}
	for _, v := range slices.Concat(of.Consts, of.Vars) {
		if slices.ContainsFunc(v.Names, p.shows) {
			return true
		}
	}
	for _, m := range of.Methods {
		if has[m.Name] == 1 && p.calls(of.Name, m.Name, true) {
			return true
		}
	}
	return p.shows(of.Name)
}

// calls reports whether an example of the type calls the method, or any example if the
// method is only this type's.
func (p public) calls(of, method string, only bool) bool {
	if only {
		return p.mention("", method)
	}
	return slices.ContainsFunc(p.examples, func(e *doc.Example) bool {
		return e.Name == of+"_"+method || strings.HasPrefix(e.Name, of+"_"+method+"_") ||
			(first(e.Name) == of || e.Name == "") && mentions(e.Code, "", method)
	})
}

func (p public) mention(pkg, name string) bool {
	return slices.ContainsFunc(p.shown, func(code ast.Node) bool { return mentions(code, pkg, name) })
}

func first(example string) string {
	name, _, _ := strings.Cut(example, "_")
	return name
}

// mentions reports whether x.name is in the code: of the package, if one is given.
func mentions(code ast.Node, pkg, name string) (found bool) {
	ast.Inspect(code, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == name {
			x, ok := s.X.(*ast.Ident)
			found = found || pkg == "" || ok && x.Name == pkg
		}
		return !found
	})
	return found
}
