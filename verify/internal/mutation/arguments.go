package mutation

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/types"
	"slices"
	"strconv"
)

// arguments adds the mutants that give a call another argument of the same type: another argument
// of the call, a variable in scope, the zero value, or, without any of these, a field of the
// receiver. It leaves literals to the operator constant, and function literals to the operators on
// their statements. It leaves nil, because the alternatives at hand are usually nil as well.
func (s *source) arguments(fn *ast.FuncDecl, name string, call *ast.CallExpr) {
	if s.info.Types[call.Fun].IsType() { // a conversion
		return
	}
	for i, arg := range call.Args {
		t := s.wanted(call, i)
		if t == nil {
			continue
		}
		others := append(s.variables(call, arg, t), zeros(t, s.info.Types[arg].Value, s.nilGiven[parameter(call, i)])...)
		if len(others) == 0 {
			others = s.field(fn, arg, t)
		}
		for _, other := range others {
			what := fmt.Sprintf("replace-argument:%s(%s=>%s)", callee(call), brief(s.src(arg)), brief(other))
			s.add(name, what, arg, s.src(call)+": "+s.src(arg)+" => "+other, s.replace(arg, other))
		}
	}
}

// wanted returns the type that another i-th argument must have, or nil if none is tried.
func (s *source) wanted(call *ast.CallExpr, i int) types.Type {
	switch arg := call.Args[i].(type) {
	case *ast.BasicLit, *ast.FuncLit:
		return nil
	case *ast.Ident:
		if constants[arg.Name] != "" {
			return nil
		}
	}
	is := s.info.Types[call.Args[i]]
	if is.IsType() || is.IsNil() || callee(call) == "make" { // capacities
		return nil
	}
	if _, channel := is.Type.Underlying().(*types.Chan); !channel {
		return is.Type
	}
	// The parameter may accept one end of a channel where the argument has both.
	if sig, ok := s.info.Types[call.Fun].Type.(*types.Signature); ok && i < sig.Params().Len() {
		return sig.Params().At(i).Type()
	}
	return nil
}

// variables returns the other arguments, and the variables in scope, that fit in the place of arg.
func (s *source) variables(call *ast.CallExpr, arg ast.Expr, t types.Type) []string {
	var names []string
	add := func(name string, of types.Type) {
		if name != s.src(arg) && !slices.Contains(names, name) && types.AssignableTo(of, t) {
			names = append(names, name)
		}
	}
	for _, other := range call.Args {
		if is := s.info.Types[other]; is.IsValue() && is.Value == nil && !is.IsNil() {
			add(s.src(other), is.Type)
		}
	}
	for scope := s.pkg.Scope().Innermost(arg.Pos()); scope != nil && scope.Parent() != s.pkg.Scope(); scope = scope.Parent() {
		for _, name := range scope.Names() {
			in, v := scope.LookupParent(name, arg.Pos())
			if _, ok := v.(*types.Var); ok && in == scope {
				add(name, v.Type())
			}
		}
	}
	return names
}

// field returns one field of the receiver that fits in the place of arg: the one after arg if arg
// is a field itself, otherwise the first. All of them would be many, and show little more. A
// pointer in a field is usually the same as what is given: the current attempt.
func (s *source) field(fn *ast.FuncDecl, arg ast.Expr, t types.Type) []string {
	if _, pointer := t.(*types.Pointer); pointer || fn.Recv == nil || len(fn.Recv.List[0].Names) == 0 {
		return nil
	}
	receiver := fn.Recv.List[0].Names[0]
	to := s.info.Defs[receiver].Type()
	if p, ok := to.(*types.Pointer); ok {
		to = p.Elem()
	}
	fields, ok := to.Underlying().(*types.Struct)
	if !ok {
		return nil
	}
	var names []string
	for f := range fields.Fields() {
		if types.AssignableTo(f.Type(), t) {
			names = append(names, receiver.Name+"."+f.Name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	next := (slices.Index(names, s.src(arg)) + 1) % len(names)
	return names[next : next+1]
}

// zeros returns the constants to try for a value of type t, except for the one that is there. It
// tries nil for an error, and otherwise where some call passes nil: elsewhere nil would only panic.
func zeros(t types.Type, was constant.Value, nilGiven bool) []string {
	switch t.String() {
	case "context.Context":
		return []string{"context.Background()"}
	case "error":
		return []string{"nil"}
	}
	if nilGiven {
		return []string{"nil"}
	}
	basic, ok := t.Underlying().(*types.Basic)
	switch {
	case !ok:
	case basic.Info()&types.IsBoolean != 0:
		return []string{"false", "true"}
	case basic.Info()&types.IsString != 0:
		return []string{`""`}
	case basic.Info()&types.IsNumeric != 0 && (was == nil || constant.Sign(was) != 0):
		return []string{"0"}
	}
	return nil
}

// nilsGiven returns the parameters to which some call of the files passes nil.
func nilsGiven(sources []*source) map[string]bool {
	given := make(map[string]bool)
	for _, s := range sources {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				for i, arg := range call.Args {
					if name, ok := arg.(*ast.Ident); ok && name.Name == "nil" {
						given[parameter(call, i)] = true
					}
				}
			}
			return true
		})
	}
	return given
}

// parameter names the i-th parameter of the called function.
func parameter(call *ast.CallExpr, i int) string { return callee(call) + " " + strconv.Itoa(i) }

// callee returns the name of the called function, without its qualifier, or "" if it has none.
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
