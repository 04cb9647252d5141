package sections

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// words are the fields of fsm that lock-free steps read.
var words = []string{"stateWord", "opened", "gate"}

// stores are the methods that write one; answers are the methods that answer callers.
var (
	stores  = []string{"Store", "Add", "Swap", "CompareAndSwap", "And", "Or"}
	answers = []string{"answerLocked", "finishLocked"}
)

// whole are the functions of fsm with a write before which no stop is needed, and why.
var whole = map[string]string{
	"Acquire":            "the atomic instruction of UseAdd",
	"Release":            "the atomic instruction of UseEnd",
	"newAttempt":         "nothing leads to the attempt yet",
	"answerQueuedLocked": "the Starts of a later attempt: which word they find says nothing to them",
	"answerLocked":       "the method itself", "finishLocked": "the method itself",
}

// Split returns the files of fsm, by their path from root, with a stop before each write of a word
// and before the answers. One more file has the stop. files are those that differ from the tree's.
// The lines keep their numbers.
func Split(root string, files map[string][]byte) (map[string][]byte, error) {
	split := map[string][]byte{"fsm/sections_stop.go": []byte(stop)}
	paths, err := filepath.Glob(filepath.Join(root, "fsm", "*.go"))
	if err != nil {
		return nil, err
	}
	stops := map[string]int{}
	for _, path := range paths {
		name := "fsm/" + filepath.Base(path)
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, given := files[name]
		if !given {
			if text, err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
		if split[name], err = stopBeforeWrites(name, text, stops); err != nil {
			return nil, err
		}
	}
	for _, word := range append(words, "answers") {
		if stops[word] == 0 {
			return nil, fmt.Errorf("sections: no section of fsm writes %s", word)
		}
	}
	return split, nil
}

const stop = `package fsm

func (l *Lifecycle[R]) writes(word string) {
	if hook, is := l.hook.(interface{ Writes(word string) }); is {
		hook.Writes(word)
	}
}
`

func stopBeforeWrites(name string, text []byte, stops map[string]int) ([]byte, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, 0)
	if err != nil {
		return nil, err
	}
	type insertion struct {
		at   int
		text string
	}
	var all []insertion
	for _, d := range file.Decls {
		f, is := d.(*ast.FuncDecl)
		if !is || f.Body == nil || whole[f.Name.Name] != "" {
			continue
		}
		found := map[*ast.CallExpr]bool{}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			for _, st := range list(n) {
				for _, w := range writesOf(st) {
					at := files.Position(st.Pos()).Offset
					owner := string(text[files.Position(w.owner.Pos()).Offset:files.Position(w.owner.End()).Offset])
					if w.ofAttempt {
						owner += ".l"
					}
					all = append(all, insertion{at, fmt.Sprintf("%s.writes(%q); ", owner, w.word)})
					found[w.call] = true
					stops[w.word]++
				}
			}
			return true
		})
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if call, is := n.(*ast.CallExpr); is && err == nil {
				if _, writes := writeOf(call); writes && !found[call] {
					err = fmt.Errorf("%v: a write within a statement: sections cannot stop before it", files.Position(call.Pos()))
				}
			}
			return true
		})
	}
	slices.SortFunc(all, func(x, y insertion) int { return y.at - x.at })
	for _, one := range all {
		text = slices.Insert(slices.Clone(text), one.at, []byte(one.text)...)
	}
	return text, err
}

// list returns the statements of a block or case.
func list(n ast.Node) []ast.Stmt {
	switch n := n.(type) {
	case *ast.BlockStmt:
		return n.List
	case *ast.CaseClause:
		return n.Body
	case *ast.CommClause:
		return n.Body
	}
	return nil
}

// write is a write of a word, or an answer.
type write struct {
	call      *ast.CallExpr
	word      string
	owner     ast.Expr
	ofAttempt bool // owner is an attempt
}

// writesOf returns the writes that a plain statement makes.
func writesOf(st ast.Stmt) (all []write) {
	switch st.(type) {
	case *ast.ExprStmt, *ast.AssignStmt:
	default:
		return nil
	}
	ast.Inspect(st, func(n ast.Node) bool {
		if call, is := n.(*ast.CallExpr); is {
			if w, is := writeOf(call); is {
				all = append(all, w)
			}
		}
		_, function := n.(*ast.FuncLit)
		return !function
	})
	return all
}

func writeOf(call *ast.CallExpr) (write, bool) {
	method, is := call.Fun.(*ast.SelectorExpr)
	if !is {
		return write{}, false
	}
	if slices.Contains(answers, method.Sel.Name) {
		return write{call, "answers", method.X, true}, true
	}
	field, is := method.X.(*ast.SelectorExpr)
	if !is || !slices.Contains(words, field.Sel.Name) || !slices.Contains(stores, method.Sel.Name) {
		return write{}, false
	}
	return write{call, field.Sel.Name, field.X, field.Sel.Name == "gate"}, true
}
