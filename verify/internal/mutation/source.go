package mutation

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

type edit struct {
	from, to int
	with     string
}

// source is one file, and the mutants found in it.
type source struct {
	name     string // relative to the module's root
	text     []byte
	file     *ast.File
	fset     *token.FileSet
	pkg      *types.Package
	info     *types.Info
	nilGiven map[string]bool            // see nilsGiven
	own      map[string]map[string]bool // see ownNames
	declared *ast.File                  // file without bodies
	count    map[string]int
	decl     int // the declaration that is walked
	found    []Mutant
}

// ofSource returns the mutants of the Go files of a package that compile, each different text once.
// dir is relative to the top of the module.
func ofSource(root, dir string) ([]Mutant, error) {
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var sources []*source
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		sources = append(sources, &source{name: filepath.ToSlash(filepath.Join(dir, filepath.Base(name))), text: text, file: file, declared: withoutBodies(file, -1), fset: fset, count: map[string]int{}})
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("no Go files in %s", filepath.Join(root, dir))
	}
	imports := cached{importer.ForCompiler(fset, "source", nil), make(map[string]*types.Package)}
	// A mutant's type errors are in its own function. It needs only the declarations of the others.
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}}
	check := func(changed *source, as *ast.File, info *types.Info) (*types.Package, error) {
		var files []*ast.File
		for _, s := range sources {
			switch {
			case s == changed:
				files = append(files, as)
			case changed != nil:
				files = append(files, s.declared)
			default:
				files = append(files, s.file)
			}
		}
		var wrong error
		note := func(err error) {
			e, ok := err.(types.Error)
			unused := ok && e.Soft && changed != nil && strings.Contains(e.Msg, " imported ") // "and not used": by bodies that are not there
			if wrong == nil && !unused {
				wrong = err
			}
		}
		pkg, _ := (&types.Config{Importer: imports, Error: note}).Check(dir, fset, files, info)
		return pkg, wrong
	}
	// Without this check, a package that does not compile would have no mutants, or all of them
	// would count as killed.
	pkg, err := check(nil, nil, info)
	if err != nil {
		return nil, fmt.Errorf("the package itself: %w", err)
	}
	var mutants []Mutant
	given, own := nilsGiven(sources), ownNames(sources)
	for _, s := range sources {
		s.pkg, s.info, s.nilGiven, s.own = pkg, info, given, own
		s.walk()
		seen := map[string]bool{string(s.text): true}
		found := slices.DeleteFunc(s.found, func(m Mutant) bool {
			again := seen[string(m.text)]
			seen[string(m.text)] = true
			return again
		})
		compiles := make([]bool, len(found))
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		for i, m := range found {
			group.Go(func() error {
				file, err := parser.ParseFile(fset, s.name, m.text, parser.SkipObjectResolution)
				if err == nil && imports.used(file) {
					_, err = check(s, withoutBodies(file, m.decl), nil)
					compiles[i] = err == nil
				}
				return nil
			})
		}
		group.Wait()
		for i, m := range found {
			if compiles[i] {
				mutants = append(mutants, m)
			}
		}
	}
	if len(mutants) == 0 {
		return nil, errors.New("no mutant of " + dir + " compiles")
	}
	return mutants, nil
}

// used reports whether each import of the file is used.
func (c cached) used(file *ast.File) bool {
	used := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if of, ok := selector.X.(*ast.Ident); ok {
				used[of.Name] = true
			}
		}
		return true
	})
	for _, i := range file.Imports {
		name := c.known[strings.Trim(i.Path.Value, `"`)].Name()
		if i.Name != nil {
			name = i.Name.Name
		}
		if !used[name] && name != "_" {
			return false
		}
	}
	return true
}

// withoutBodies returns the file with the same declarations, where each function except one panics.
func withoutBodies(file *ast.File, but int) *ast.File {
	panics := &ast.BlockStmt{List: []ast.Stmt{&ast.ExprStmt{X: &ast.CallExpr{Fun: ast.NewIdent("panic"), Args: []ast.Expr{ast.NewIdent("nil")}}}}}
	declared := *file
	declared.Decls = slices.Clone(file.Decls)
	for i, d := range declared.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && i != but {
			g := *f
			g.Body = panics
			declared.Decls[i] = &g
		}
	}
	return &declared
}

// cached asks an importer once for each package. The importer of sources searches for the directory
// each time. Once it knows all packages, it may be asked concurrently.
type cached struct {
	types.Importer
	known map[string]*types.Package
}

func (c cached) Import(path string) (p *types.Package, err error) {
	if p = c.known[path]; p == nil {
		p, err = c.Importer.Import(path)
		c.known[path] = p
	}
	return p, err
}

func (s *source) at(p token.Pos) int { return s.fset.Position(p).Offset }
func (s *source) src(n ast.Node) string {
	return string(s.text[s.at(n.Pos()):s.at(n.End())])
}
func (s *source) replace(n ast.Node, with string) edit {
	return edit{s.at(n.Pos()), s.at(n.End()), with}
}

// add adds a mutant. The text after a colon in operator is part of the mutant's id only. With it
// the id survives edits of the same function.
func (s *source) add(fn, operator string, n ast.Node, diff string, edits ...edit) {
	slices.SortFunc(edits, func(a, b edit) int { return a.from - b.from })
	var out bytes.Buffer
	last := 0
	for _, e := range edits {
		out.Write(s.text[last:e.from])
		out.WriteString(e.with)
		last = e.to
	}
	out.Write(s.text[last:])
	key := s.name + ":" + fn + ":" + operator
	s.count[key]++
	operator, _, _ = strings.Cut(operator, ":")
	s.found = append(s.found, Mutant{
		ID: fmt.Sprintf("%s:%d", key, s.count[key]), File: s.name, Line: s.fset.Position(n.Pos()).Line,
		Operator: operator, Diff: strings.Join(strings.Fields(diff), " "), text: out.Bytes(), decl: s.decl,
	})
}

func (s *source) walk() {
	for i, d := range s.file.Decls {
		s.decl = i
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		name := fn.Name.Name
		if fn.Recv != nil {
			t, _, _ := strings.Cut(strings.TrimPrefix(s.src(fn.Recv.List[0].Type), "*"), "[")
			name = t + "." + name
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			s.operators(name, n)
			return true
		})
		// Last, because an earlier operator that makes the same text takes precedence.
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				s.arguments(fn, name, n)
			case *ast.BlockStmt:
				s.moves(name, n.List)
			case *ast.CaseClause:
				s.moves(name, n.Body)
			case *ast.CommClause:
				s.moves(name, n.Body)
			}
			return true
		})
	}
}

// head returns the first line of the node's text.
func (s *source) head(n ast.Node) string {
	line, _, _ := strings.Cut(s.src(n), "\n")
	return line
}

// brief returns the beginning of a text, for an id.
func brief(text string) string {
	return fmt.Sprintf("%.40s", strings.Join(strings.Fields(text), "_"))
}
