package tlc

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"
)

// Values reads TLA+ values as TLC prints them. TLC wraps long ones: white space may stand before
// every token. After the first error it does nothing.
type Values struct {
	text []byte
	i    int
	err  error
}

// ReadState reads a state as TLC prints it, strictly: each of the variables once and no other. It
// calls variable to read the value of each.
func ReadState(text []byte, variables []string, variable func(v *Values, name string)) error {
	v := &Values{text: text}
	seen := uint64(0)
	for v.i < len(v.text) && v.err == nil {
		v.Want("/\\")
		name := v.word()
		v.Want("=")
		if v.err != nil {
			break
		}
		i := slices.IndexFunc(variables, func(s string) bool { return s == string(name) })
		if i < 0 {
			return fmt.Errorf("unknown variable %q", name)
		}
		if seen&(1<<i) != 0 {
			return fmt.Errorf("variable %s twice", name)
		}
		seen |= 1 << i
		if variable(v, variables[i]); v.err != nil {
			return fmt.Errorf("variable %s: %w", name, v.err)
		}
	}
	if v.err != nil {
		return v.err
	}
	if missing := len(variables) - bits.OnesCount64(seen); missing != 0 {
		return fmt.Errorf("%d variables are missing", missing)
	}
	return nil
}

// Failed reports whether there was an error.
func (v *Values) Failed() bool { return v.err != nil }

// Fail records an error at this place, unless there is one already.
func (v *Values) Fail(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf(format, args...)
	}
}

// Want reads a token.
func (v *Values) Want(token string) {
	if !v.Skip(token) {
		v.Fail("want %q at %.40q", token, v.text[v.i:])
	}
}

func (v *Values) space() {
	for v.i < len(v.text) && (v.text[v.i] == ' ' || v.text[v.i] == '\n') {
		v.i++
	}
}

// Skip reads a token if it is there.
func (v *Values) Skip(token string) bool {
	v.space()
	if v.err != nil || len(v.text)-v.i < len(token) || string(v.text[v.i:v.i+len(token)]) != token {
		return false
	}
	v.i += len(token)
	return true
}

func (v *Values) word() []byte {
	v.space()
	from := v.i
	for v.i < len(v.text) && 'a' <= v.text[v.i] && v.text[v.i] <= 'z' {
		v.i++
	}
	return v.text[from:v.i]
}

// Number reads a number from 0 to most.
func (v *Values) Number(most int) uint8 { return uint8(v.number(0, most)) }

// Integer reads a number that may be negative, from least to most.
func (v *Values) Integer(least, most int) int8 { return int8(v.number(least, most)) }

func (v *Values) number(least, most int) int {
	v.space()
	from, n, sign := v.i, 0, 1
	if least < 0 && v.i < len(v.text) && v.text[v.i] == '-' {
		sign = -1
		v.i++
	}
	digits := v.i
	for v.i < len(v.text) && '0' <= v.text[v.i] && v.text[v.i] <= '9' && n < 1000 {
		n = 10*n + int(v.text[v.i]-'0')
		v.i++
	}
	if n *= sign; v.i == digits || n < least || n > most {
		v.Fail("want a number from %d to %d at %.40q", least, most, v.text[from:])
		return 0
	}
	return n
}

// Boolean reads TRUE or FALSE.
func (v *Values) Boolean() bool {
	switch {
	case v.Skip("TRUE"):
		return true
	case !v.Skip("FALSE"):
		v.Fail("want TRUE or FALSE at %.40q", v.text[v.i:])
	}
	return false
}

// Named reads a string that is one of names and returns its number.
func Named[T ~uint8](v *Values, names []string) T {
	v.Want(`"`)
	end := bytes.IndexByte(v.text[v.i:], '"')
	if v.err != nil || end < 0 {
		v.Fail("want a string at %.40q", v.text[v.i:])
		return 0
	}
	got := v.text[v.i : v.i+end]
	v.i += end + 1
	for i, name := range names {
		if string(got) == name {
			return T(i)
		}
	}
	v.Fail("unknown value %q", got)
	return 0
}

// Names returns the names of the values of a type from 0 to the last, for Named.
func Names[T interface {
	~uint8
	fmt.Stringer
}](last T) []string {
	var names []string
	for v := T(0); v <= last; v++ {
		names = append(names, v.String())
	}
	return names
}

// Sequence reads a sequence of n values: <<..., ...>>.
func (v *Values) Sequence(n int, value func(i int)) {
	v.Want("<<")
	for i := range n {
		if i > 0 {
			v.Want(",")
		}
		value(i)
	}
	v.Want(">>")
}

// List reads a sequence of up to most values, and returns how many there are.
func (v *Values) List(most int, value func(i int)) int { return v.elements("<<", ">>", most, value) }

// Set reads a set of up to most values: {..., ...}.
func (v *Values) Set(most int, value func(i int)) int { return v.elements("{", "}", most, value) }

func (v *Values) elements(begin, end string, most int, value func(i int)) int {
	v.Want(begin)
	n := 0
	for !v.Skip(end) && !v.Failed() {
		if n > 0 {
			v.Want(",")
		}
		if n == most {
			v.Fail("want at most %d values at %.40q", most, v.text[v.i:])
			break
		}
		value(n)
		n++
	}
	return n
}

// Record reads a record with these fields, in any order: [a |-> ..., b |-> ...].
func (v *Values) Record(fields []string, value func(field string)) {
	v.Want("[")
	seen := 0
	for k := range fields {
		if k > 0 {
			v.Want(",")
		}
		name := string(v.word())
		i := slices.Index(fields, name)
		if i < 0 || seen&(1<<i) != 0 {
			v.Fail("the field %q does not exist or comes twice", name)
			return
		}
		seen |= 1 << i
		v.Want("|->")
		value(name)
	}
	v.Want("]")
}

// Function reads a function from the model values name1 to nameN, in any order: (c1 :> ... @@ c2 :> ...).
func (v *Values) Function(name string, n int, value func(i int)) {
	v.Want("(")
	seen := 0
	for k := range n {
		if k > 0 {
			v.Want("@@")
		}
		v.Want(name)
		i := int(v.Number(n)) - 1
		if v.err != nil {
			return
		}
		if i < 0 || seen&(1<<i) != 0 {
			v.Fail("%s%d does not exist or comes twice", name, i+1)
			return
		}
		seen |= 1 << i
		v.Want(":>")
		value(i)
	}
	v.Want(")")
}
