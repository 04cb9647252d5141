package mutation

import (
	"go/ast"
	"go/token"
	"strings"
)

var swapped = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.LEQ, token.LEQ: token.LSS,
	token.GTR: token.GEQ, token.GEQ: token.GTR, token.ADD: token.SUB, token.SUB: token.ADD,
}

var constants = map[string]string{"0": "1", "1": "0", "true": "false", "false": "true"}

// operators adds the mutants of one node. They are edits of the text, not of the tree. So comments
// and layout stay, and the difference is the line that a reader sees.
func (s *source) operators(fn string, n ast.Node) {
	switch n := n.(type) {
	case *ast.BlockStmt:
		s.statements(fn, n.List)
	case *ast.CaseClause:
		s.statements(fn, n.Body)
		s.add(fn, "remove-case", n, "- "+s.src(n), s.replace(n, ""))
	case *ast.CommClause:
		s.statements(fn, n.Body)
		s.add(fn, "remove-case", n, "- "+s.src(n), s.replace(n, ""))
	case *ast.IfStmt:
		c := s.src(n.Cond)
		// The condition stays in the text, so its names are still used.
		for _, o := range [][2]string{{"negate-if", "!(" + c + ")"}, {"if-true", "true || (" + c + ")"}, {"if-false", "false && (" + c + ")"}} {
			s.add(fn, o[0], n.Cond, c+" => "+o[1], s.replace(n.Cond, o[1]))
		}
	case *ast.BinaryExpr:
		if n.Op == token.LAND || n.Op == token.LOR {
			s.add(fn, "drop-operand", n, s.src(n)+" => "+s.src(n.X), s.replace(n, s.src(n.X)))
			s.add(fn, "drop-operand", n, s.src(n)+" => "+s.src(n.Y), s.replace(n, s.src(n.Y)))
		}
		if to, ok := swapped[n.Op]; ok {
			at := s.at(n.OpPos)
			s.add(fn, "swap-operator", n, s.src(n)+" => "+to.String(), edit{at, at + len(n.Op.String()), to.String()})
		}
	case *ast.IncDecStmt:
		to := map[token.Token]string{token.INC: "--", token.DEC: "++"}[n.Tok]
		at := s.at(n.TokPos)
		s.add(fn, "swap-operator", n, s.src(n)+" => "+to, edit{at, at + 2, to})
	case *ast.BasicLit:
		if to, ok := constants[n.Value]; ok {
			s.add(fn, "constant", n, n.Value+" => "+to, s.replace(n, to))
		}
	case *ast.Ident:
		if to, ok := constants[n.Name]; ok {
			s.add(fn, "constant", n, n.Name+" => "+to, s.replace(n, to))
		}
	case *ast.ReturnStmt:
		// If the last result is no error or pointer, nil does not compile, and the mutant is
		// discarded.
		if k := len(n.Results); k > 0 && s.src(n.Results[k-1]) != "nil" {
			last := n.Results[k-1]
			s.add(fn, "nil-result", n, s.src(n)+" => nil", s.replace(last, "nil"))
		}
	}
}

func (s *source) statements(fn string, list []ast.Stmt) {
	for i, st := range list {
		switch st := st.(type) {
		case *ast.AssignStmt:
			if st.Tok != token.DEFINE {
				s.add(fn, "remove-statement", st, "- "+s.src(st), s.replace(st, ""))
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt, *ast.BranchStmt:
			s.add(fn, "remove-statement", st, "- "+s.src(st), s.replace(st, ""))
		case *ast.IfStmt:
			s.add(fn, "remove-statement", st, "- "+s.src(st), s.replace(st, ""))
		case *ast.ReturnStmt:
			s.add(fn, "drop-return", st, "- "+s.src(st), s.replace(st, ""))
		}
		// The order of assignments under one lock is invisible; the order of calls may be visible.
		if i+1 < len(list) && isCall(st) && isCall(list[i+1]) {
			next := list[i+1]
			s.add(fn, "swap-statements", st, s.src(st)+" <=> "+s.src(next), s.replace(st, s.src(next)), s.replace(next, s.src(st)))
		}
		if mu, ok := strings.CutSuffix(s.src(st), ".Lock()"); ok {
			for _, other := range list[i+1:] {
				if t := s.src(other); t == mu+".Unlock()" || t == "defer "+mu+".Unlock()" {
					s.add(fn, "remove-lock", st, "- "+s.src(st)+" … "+t, s.replace(st, ""), s.replace(other, ""))
					break
				}
			}
		}
	}
}

func isCall(st ast.Stmt) bool {
	_, ok := st.(*ast.ExprStmt)
	return ok
}
