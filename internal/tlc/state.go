package tlc

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"

	"github.com/seed3893aba4/surestart/spec"
)

// ParseState reads a state of tla/Algorithm.tla as TLC prints it. It is strict:
// each variable once and no other, each caller and attempt of the bound once,
// and only values that the specification's TypeOK allows. In particular held[g]
// has to be <<1, ..., n>>, which is what lets a Snapshot keep n alone.
func ParseState(b spec.Bound, text []byte) (spec.Snapshot, error) {
	var s spec.Snapshot
	p := parser{text: text, bound: b}
	seen := uint32(0)
	for p.i < len(p.text) && p.err == nil {
		p.want("/\\")
		name := p.word()
		p.want("=")
		if p.err != nil {
			break
		}
		i := p.variable(name, &s)
		if i < 0 {
			return s, fmt.Errorf("unknown variable %q", name)
		}
		if seen&(1<<i) != 0 {
			return s, fmt.Errorf("variable %s twice", name)
		}
		seen |= 1 << i
		if p.err != nil {
			return s, fmt.Errorf("variable %s: %w", name, p.err)
		}
	}
	if p.err != nil {
		return s, p.err
	}
	if seen != 1<<numVariables-1 {
		return s, fmt.Errorf("%d variables are missing", numVariables-bits.OnesCount32(seen))
	}
	return s, nil
}

const numVariables = 17

// variable reads the value of one and returns its number, or -1 where there is no such variable.
func (p *parser) variable(name []byte, s *spec.Snapshot) int {
	a, c := &s.Attempts, &s.Callers
	switch string(name) {
	case "st":
		s.St = named[spec.State](p, states)
		return 0
	case "gen":
		s.Gen = p.number(p.bound.Calls)
		return 1
	case "closing":
		s.Closing = p.boolean()
		return 2
	case "cur":
		s.Cur = p.number(p.bound.Calls)
		return 3
	case "op":
		p.attempts(func(g int) { a[g].Op = named[spec.Op](p, ops) })
		return 4
	case "held":
		p.attempts(func(g int) { a[g].Held = p.held() })
		return 5
	case "fate":
		p.attempts(func(g int) { a[g].Fate = named[spec.Fate](p, fates) })
		return 6
	case "open":
		p.attempts(func(g int) { a[g].Open = p.boolean() })
		return 7
	case "inuse":
		p.attempts(func(g int) { a[g].InUse = p.number(p.bound.Callers) })
		return 8
	case "forced":
		p.attempts(func(g int) { a[g].Forced = p.boolean() })
		return 9
	case "relerr":
		p.attempts(func(g int) { a[g].RelErr = p.boolean() })
		return 10
	case "pc":
		p.callers(func(i int) { c[i].PC = named[spec.PC](p, pcs) })
		return 11
	case "on":
		p.callers(func(i int) { c[i].On = p.number(p.bound.Calls) })
		return 12
	case "ended":
		p.callers(func(i int) { c[i].Ended = p.boolean() })
		return 13
	case "out":
		p.callers(func(i int) { p.out(&c[i]) })
		return 14
	case "calls":
		s.Calls = p.number(p.bound.Calls)
		return 15
	case "fails":
		s.Fails = p.number(p.bound.Fails)
		return 16
	}
	return -1
}

var (
	states = namesTo(spec.Closed)
	ops    = namesTo(spec.OpRelease)
	fates  = namesTo(spec.FateClosed)
	pcs    = namesTo(spec.PCShutWait)
	outs   = namesTo(spec.OutCut)
)

func namesTo[T interface {
	~uint8
	fmt.Stringer
}](last T) []string {
	var names []string
	for v := T(0); v <= last; v++ {
		names = append(names, v.String())
	}
	return names
}

// parser reads TLA+ values as TLC prints them, which wraps long ones: white space
// may stand before every token. After the first error it does nothing.
type parser struct {
	text  []byte
	i     int
	bound spec.Bound
	err   error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *parser) want(token string) {
	if !p.skip(token) {
		p.fail("want %q at %.40q", token, p.text[p.i:])
	}
}

func (p *parser) space() {
	for p.i < len(p.text) && (p.text[p.i] == ' ' || p.text[p.i] == '\n') {
		p.i++
	}
}

func (p *parser) skip(token string) bool {
	p.space()
	if p.err != nil || len(p.text)-p.i < len(token) || string(p.text[p.i:p.i+len(token)]) != token {
		return false
	}
	p.i += len(token)
	return true
}

func (p *parser) word() []byte {
	p.space()
	from := p.i
	for p.i < len(p.text) && 'a' <= p.text[p.i] && p.text[p.i] <= 'z' {
		p.i++
	}
	return p.text[from:p.i]
}

func (p *parser) number(most int) uint8 {
	p.space()
	from, n := p.i, 0
	for p.i < len(p.text) && '0' <= p.text[p.i] && p.text[p.i] <= '9' && n < 1000 {
		n = 10*n + int(p.text[p.i]-'0')
		p.i++
	}
	if p.i == from || n > most {
		p.fail("want a number from 0 to %d at %.40q", most, p.text[from:])
		return 0
	}
	return uint8(n)
}

func (p *parser) boolean() bool {
	switch {
	case p.skip("TRUE"):
		return true
	case !p.skip("FALSE"):
		p.fail("want TRUE or FALSE at %.40q", p.text[p.i:])
	}
	return false
}

// named reads a string that is one of names and returns its number.
func named[T ~uint8](p *parser, names []string) T {
	p.want(`"`)
	end := bytes.IndexByte(p.text[p.i:], '"')
	if p.err != nil || end < 0 {
		p.fail("want a string at %.40q", p.text[p.i:])
		return 0
	}
	got := p.text[p.i : p.i+end]
	p.i += end + 1
	for i, name := range names {
		if string(got) == name {
			return T(i)
		}
	}
	p.fail("unknown value %q", got)
	return 0
}

// attempts reads a sequence with a value for each attempt: <<..., ...>>.
func (p *parser) attempts(value func(g int)) {
	p.want("<<")
	for g := range p.bound.Calls {
		if g > 0 {
			p.want(",")
		}
		value(g)
	}
	p.want(">>")
}

// callers reads a function with a value for each caller: (c1 :> ... @@ c2 :> ...).
func (p *parser) callers(value func(c int)) {
	p.want("(")
	seen := 0
	for n := range p.bound.Callers {
		if n > 0 {
			p.want("@@")
		}
		p.want("c")
		c := int(p.number(p.bound.Callers)) - 1
		if p.err != nil {
			return
		}
		if c < 0 || seen&(1<<c) != 0 {
			p.fail("caller c%d does not exist or comes twice", c+1)
			return
		}
		seen |= 1 << c
		p.want(":>")
		value(c)
	}
	p.want(")")
}

// held reads the sequence of the parts held, which has to be <<1, ..., n>>.
func (p *parser) held() uint8 {
	p.want("<<")
	n := 0
	for !p.skip(">>") && p.err == nil {
		if n > 0 {
			p.want(",")
		}
		if n++; int(p.number(p.bound.Parts)) != n {
			p.fail("the parts held are not 1, ..., n in order")
		}
	}
	return uint8(n)
}

// out reads the pair of a result and its number. Only two kinds have one.
func (p *parser) out(v *spec.CallerVars) {
	p.want("<<")
	v.Out = named[spec.Out](p, outs)
	p.want(",")
	v.N = p.number(max(p.bound.Calls, p.bound.Callers))
	p.want(">>")
	if numbered := v.Out == spec.OutFailed || v.Out == spec.OutCut; p.err == nil && numbered != (v.N != 0) {
		p.err = errors.New("out: a number where there is none, or none where there is one")
	}
}
