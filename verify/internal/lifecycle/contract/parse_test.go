package contract_test

import (
	"github.com/seed3893aba4/surestart/internal/abstract"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

var (
	variables = []string{"res", "why", "final", "due", "again", "call", "ended", "out"}

	ress  = tlc.Names(abstract.Closing)
	calls = tlc.Names(abstract.Done)
	outs  = tlc.Names(abstract.Abandoned)
)

// parse reads a state of the model as TLC prints it.
func parse(m abstract.Model, text []byte) (abstract.State, error) {
	s := abstract.State{Restarts: m.Restarts}
	err := tlc.ReadState(text, variables, func(v *tlc.Values, name string) {
		callers := func(value func(c int)) { v.Function("c", m.Callers, value) }
		switch name {
		case "res":
			s.Res = tlc.Named[abstract.Res](v, ress)
		case "why":
			s.Why = tlc.Named[abstract.Out](v, outs)
		case "final":
			s.Final = v.Boolean()
		case "due":
			s.Due = v.Boolean()
		case "again":
			s.Again = v.Boolean()
		case "call":
			callers(func(c int) { s.Call[c] = tlc.Named[abstract.Call](v, calls) })
		case "ended":
			callers(func(c int) { s.Ended[c] = v.Boolean() })
		case "out":
			callers(func(c int) {
				v.Want("<<")
				s.Out[c].Out = tlc.Named[abstract.Out](v, outs)
				v.Want(",")
				s.Out[c].N = v.Number(m.Callers)
				v.Want(">>")
			})
		}
	})
	return s, err
}
