package abstract_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed3893aba4/surestart/internal/abstract"
)

// values maps the names that TLC prints to the values that have these names.
func values[T interface {
	~uint8
	fmt.Stringer
}](last T) map[string]T {
	m := map[string]T{}
	for v := T(0); v <= last; v++ {
		m[v.String()] = v
	}
	return m
}

var (
	resOf  = values(abstract.Closing)
	callOf = values(abstract.Done)
	outOf  = values(abstract.Abandoned)
	boolOf = map[string]bool{"TRUE": true, "FALSE": false}

	pair = regexp.MustCompile(`^<<"([a-z]+)", (\d+)>>$`)
)

// parse reads a state as TLC prints it: each variable once and no other, each
// caller once and no other.
func parse(callers int, text string) (s abstract.State, err error) {
	text = strings.Join(strings.Fields(text), " ")
	seen := map[string]bool{}
	for _, conjunct := range strings.Split(strings.TrimPrefix(text, `/\ `), ` /\ `) {
		name, value, ok := strings.Cut(conjunct, " = ")
		if !ok || seen[name] {
			return s, fmt.Errorf("want a variable that was not there yet: %q", conjunct)
		}
		seen[name] = true
		switch name {
		case "res":
			s.Res, err = one(resOf, unquoted(value))
		case "why":
			s.Why, err = one(outOf, unquoted(value))
		case "final":
			s.Final, err = one(boolOf, value)
		case "call":
			err = perCaller(callers, value, func(c int, v string) (err error) { s.Call[c], err = one(callOf, unquoted(v)); return })
		case "ended":
			err = perCaller(callers, value, func(c int, v string) (err error) { s.Ended[c], err = one(boolOf, v); return })
		case "out":
			err = perCaller(callers, value, func(c int, v string) error {
				m := pair.FindStringSubmatch(v)
				if m == nil {
					return fmt.Errorf("want a pair: %q", v)
				}
				n, err := strconv.Atoi(m[2])
				if err != nil || n > callers {
					return fmt.Errorf("a number too large: %q", v)
				}
				s.Out[c].N = uint8(n)
				s.Out[c].Out, err = one(outOf, m[1])
				return err
			})
		default:
			err = fmt.Errorf("unknown variable")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(seen) != 6 {
		return s, fmt.Errorf("%d of 6 variables in %q", len(seen), text)
	}
	return s, nil
}

func unquoted(v string) string { return strings.TrimSuffix(strings.TrimPrefix(v, `"`), `"`) }

func one[T any](of map[string]T, name string) (T, error) {
	v, ok := of[name]
	if !ok {
		return v, fmt.Errorf("unknown value %q", name)
	}
	return v, nil
}

// perCaller reads (c1 :> ... @@ c2 :> ...).
func perCaller(callers int, value string, set func(c int, v string) error) error {
	value = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(value, "("), ")"))
	all := strings.Split(value, " @@ ")
	if len(all) != callers {
		return fmt.Errorf("want %d callers: %q", callers, value)
	}
	seen := map[int]bool{}
	for _, each := range all {
		name, v, _ := strings.Cut(each, " :> ")
		c, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(name), "c"))
		if err != nil || c < 1 || c > callers || seen[c] {
			return fmt.Errorf("no such caller, or twice: %q", each)
		}
		seen[c] = true
		if err := set(c-1, v); err != nil {
			return err
		}
	}
	return nil
}
