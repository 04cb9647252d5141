package model

import (
	"github.com/seed3893aba4/surestart/spec"
	"github.com/seed3893aba4/surestart/verify/internal/tlc"
)

// ParseState reads a state of tla/Algorithm.tla as TLC prints it. It is strict: each variable once
// and no other, each caller and attempt of the bound once, and only values that the specification's
// TypeOK allows. In particular held[g] has to be <<1, ..., n>>, so that a Snapshot can keep n
// alone.
func ParseState(b spec.Bound, text []byte) (spec.Snapshot, error) {
	var s spec.Snapshot
	p := parser{bound: b}
	err := tlc.ReadState(text, variables, func(v *tlc.Values, name string) {
		p.Values = v
		p.variable(name, &s)
	})
	return s, err
}

// parser reads the values of the algorithm's variables.
type parser struct {
	*tlc.Values
	bound spec.Bound
}

var variables = []string{
	"st", "gen", "closing", "cur", "op", "held", "fate", "open", "inuse", "forced", "relerr",
	"pc", "on", "ended", "out", "calls", "fails", "due", "again", "restarts", "reported",
}

func (p *parser) variable(name string, s *spec.Snapshot) {
	a, c := &s.Attempts, &s.Callers
	switch name {
	case "st":
		s.St = tlc.Named[spec.State](p.Values, states)
	case "gen":
		s.Gen = p.Number(p.bound.Attempts())
	case "closing":
		s.Closing = p.Boolean()
	case "cur":
		s.Cur = p.Number(p.bound.Attempts())
	case "op":
		p.attempts(func(g int) { a[g].Op = tlc.Named[spec.Op](p.Values, ops) })
	case "held":
		p.attempts(func(g int) { a[g].Held = p.held() })
	case "fate":
		p.attempts(func(g int) { a[g].Fate = tlc.Named[spec.Fate](p.Values, fates) })
	case "open":
		p.attempts(func(g int) { a[g].Open = p.Boolean() })
	case "inuse":
		p.attempts(func(g int) { a[g].InUse = p.Number(p.bound.Callers) })
	case "forced":
		p.attempts(func(g int) { a[g].Forced = p.Boolean() })
	case "relerr":
		p.attempts(func(g int) { a[g].RelErr = p.Boolean() })
	case "pc":
		p.callers(func(i int) { c[i].PC = tlc.Named[spec.PC](p.Values, pcs) })
	case "on":
		p.callers(func(i int) { c[i].On = p.Number(p.bound.Attempts()) })
	case "ended":
		p.callers(func(i int) { c[i].Ended = p.Boolean() })
	case "out":
		p.callers(func(i int) { p.out(&c[i]) })
	case "calls":
		s.Calls = p.Number(p.bound.Calls)
	case "fails":
		s.Fails = p.Number(p.bound.Fails)
	case "due":
		s.Due = p.Boolean()
	case "again":
		s.Again = p.Boolean()
	case "restarts":
		s.Restarts = p.Number(p.bound.Restarts)
	case "reported":
		p.attempts(func(g int) { a[g].Reported = p.Boolean() })
	}
}

var (
	states = tlc.Names(spec.Closed)
	ops    = tlc.Names(spec.OpRelease)
	fates  = tlc.Names(spec.FateClosed)
	pcs    = tlc.Names(spec.PCShutWait)
	outs   = tlc.Names(spec.OutCut)
)

func (p *parser) attempts(value func(g int)) { p.Sequence(p.bound.Attempts(), value) }

func (p *parser) callers(value func(c int)) { p.Function("c", p.bound.Callers, value) }

// held reads the sequence of the held parts, which has to be <<1, ..., n>>.
func (p *parser) held() uint8 {
	return uint8(p.List(p.bound.Parts, func(i int) {
		if int(p.Number(p.bound.Parts)) != i+1 {
			p.Fail("the parts held are not 1, ..., n in order")
		}
	}))
}

// out reads the pair of a result and its number. Only two kinds of result have a number.
func (p *parser) out(v *spec.CallerVars) {
	p.Want("<<")
	v.Out = tlc.Named[spec.Out](p.Values, outs)
	p.Want(",")
	v.N = p.Number(max(p.bound.Attempts(), p.bound.Callers))
	p.Want(">>")
	if numbered := v.Out == spec.OutFailed || v.Out == spec.OutCut; numbered != (v.N != 0) {
		p.Fail("out: a number where there is none, or none where there is one")
	}
}
