package mutation

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// moves adds the mutants that move a statement of the list: past an adjacent assignment, from
// before a branch or a loop into it, and from the end of one to after it.
func (s *source) moves(fn string, list []ast.Stmt) {
	for i, st := range list {
		for _, body := range bodies(st) {
			s.moveOut(fn, st, body)
		}
		if i+1 == len(list) {
			return
		}
		next := list[i+1]
		if (assigned(st) != nil || assigned(next) != nil) && moves(st) && moves(next) && s.ordered(st, next) {
			s.add(fn, "swap-assignment:"+brief(s.head(st))+"<=>"+brief(s.head(next)), st, s.src(st)+" <=> "+s.src(next), s.replace(st, s.src(next)), s.replace(next, s.src(st)))
		}
		if _, branches := st.(*ast.IfStmt); branches || !moves(st) {
			continue
		}
		for _, body := range bodies(next) {
			if len(body.list) > 0 {
				at := s.at(body.list[0].Pos())
				s.add(fn, "move-in:"+brief(s.head(st))+"=>"+brief(s.head(next)), st, s.src(st)+" into "+s.head(next), s.replace(st, ""), edit{at, at, s.src(st) + "\n"})
			}
			break // the first branch stands for them all
		}
	}
}

// moveOut moves the last statement of a branch or loop to the place after it.
func (s *source) moveOut(fn string, of ast.Stmt, body body) {
	k := len(body.list)
	if k == 0 || !moves(body.list[k-1]) || body.only && k == 1 { // the same as a condition that holds always
		return
	}
	last, end := body.list[k-1], s.at(of.End())
	s.add(fn, "move-out:"+brief(s.head(of))+"=>"+brief(s.head(last)), last, s.src(last)+" out of "+s.head(of), s.replace(last, ""), edit{end, end, "\n" + s.src(last)})
}

// A body is the list of a statement that runs it sometimes, or several times.
type body struct {
	list []ast.Stmt
	only bool // it is an if's, without an else
}

func bodies(st ast.Stmt) []body {
	var all []body
	clauses := func(b *ast.BlockStmt) {
		for _, c := range b.List {
			switch c := c.(type) {
			case *ast.CaseClause:
				all = append(all, body{list: c.Body})
			case *ast.CommClause:
				all = append(all, body{list: c.Body})
			}
		}
	}
	switch st := st.(type) {
	case *ast.IfStmt:
		all = append(all, body{st.Body.List, st.Else == nil})
		switch other := st.Else.(type) {
		case *ast.BlockStmt:
			all = append(all, body{list: other.List})
		case *ast.IfStmt:
			all = append(all, bodies(other)...)
		}
	case *ast.ForStmt:
		all = append(all, body{list: st.Body.List})
	case *ast.RangeStmt:
		all = append(all, body{list: st.Body.List})
	case *ast.SwitchStmt:
		clauses(st.Body)
	case *ast.TypeSwitchStmt:
		clauses(st.Body)
	case *ast.SelectStmt:
		clauses(st.Body)
	}
	return all
}

// moves reports whether st may be moved. A return, break or similar may not: nothing runs after it.
func moves(st ast.Stmt) bool {
	switch st.(type) {
	case *ast.ReturnStmt, *ast.BranchStmt, *ast.DeclStmt, *ast.EmptyStmt, *ast.LabeledStmt:
		return false
	}
	return true
}

// assigned returns the expressions that the statement assigns to, if it is an assignment.
func assigned(st ast.Stmt) []ast.Expr {
	switch st := st.(type) {
	case *ast.AssignStmt:
		return st.Lhs
	case *ast.IncDecStmt:
		return []ast.Expr{st.X}
	}
	return nil
}

// ordered reports whether the order of a and b may matter. It may in three cases: one names what
// the other assigns to, also in the functions of the package that it names, and in all that those
// name; one is a jump; or one calls anything else, for which code outside the critical section may
// wait. A call outside the package may not be moved past a lock. For the rest, the race detector
// would notice, and remove-lock shows that the lock is needed.
func (s *source) ordered(a, b ast.Stmt) bool {
	ea, eb := s.effects(a), s.effects(b)
	if ea.local && !meet(ea.assigned, eb.named) || eb.local && !meet(eb.assigned, ea.named) {
		return false
	}
	if s.locks(a) && !eb.outside || s.locks(b) && !ea.outside {
		return false
	}
	return ea.outside || eb.outside || meet(ea.assigned, eb.named) || meet(eb.assigned, ea.named)
}

func (s *source) locks(st ast.Stmt) bool {
	text := s.src(st)
	return strings.HasSuffix(text, ".Lock()") || strings.HasSuffix(text, ".Unlock()")
}

type effects struct {
	named, assigned map[string]bool
	outside         bool
	local           bool // it declares a variable, of nothing that another statement could change
}

func (s *source) effects(st ast.Stmt) effects {
	e := effects{named: make(map[string]bool), assigned: make(map[string]bool)}
	var look func(n ast.Node) bool
	look = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			e.named[n.Name] = true
			for name := range s.own[n.Name] {
				e.named[name] = true
			}
		case *ast.AssignStmt, *ast.IncDecStmt:
			for _, to := range assigned(n.(ast.Stmt)) {
				if field, ok := to.(*ast.SelectorExpr); ok {
					to = field.Sel
				}
				ast.Inspect(to, func(n ast.Node) bool {
					if name, ok := n.(*ast.Ident); ok {
						e.assigned[name.Name] = true
					}
					return true
				})
			}
		case *ast.FuncLit: // it may run, if it is given to a call
			if define, ok := st.(*ast.AssignStmt); ok && slices.Contains(define.Rhs, ast.Expr(n)) {
				return false
			}
		case *ast.DeferStmt: // it runs later; its arguments are made now
			for _, arg := range n.Call.Args {
				ast.Inspect(arg, look)
			}
			return false
		case *ast.ReturnStmt, *ast.BranchStmt, *ast.SendStmt, *ast.SelectStmt:
			e.outside = true
		case *ast.UnaryExpr:
			e.outside = e.outside || n.Op == token.ARROW
		case *ast.CallExpr:
			if s.info.Types[n.Fun].IsType() || harmless[callee(n)] {
				return true
			}
			e.outside = e.outside || s.own[callee(n)] == nil
		}
		return true
	}
	ast.Inspect(st, look)
	if define, ok := st.(*ast.AssignStmt); ok && define.Tok == token.DEFINE && !e.outside {
		e.local = !slices.ContainsFunc(define.Rhs, func(e ast.Expr) bool { return strings.Contains(s.src(e), ".") })
	}
	return e
}

var harmless = map[string]bool{"append": true, "cap": true, "len": true, "make": true, "max": true, "min": true, "new": true}

func meet(a, b map[string]bool) bool {
	for name := range a {
		if b[name] {
			return true
		}
	}
	return false
}

// ownNames returns, for the name of each function of the files, the names in it and in all
// functions that it names.
func ownNames(sources []*source) map[string]map[string]bool {
	own := make(map[string]map[string]bool)
	for _, s := range sources {
		for _, d := range s.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			names := own[fn.Name.Name] // of a method of another type, too
			if names == nil {
				names = make(map[string]bool)
				own[fn.Name.Name] = names
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if name, ok := n.(*ast.Ident); ok {
					names[name.Name] = true
				}
				return true
			})
		}
	}
	for grown := true; grown; {
		grown = false
		for _, names := range own {
			for name := range names {
				for more := range own[name] {
					grown = grown || !names[more]
					names[more] = true
				}
			}
		}
	}
	return own
}
