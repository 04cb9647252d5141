package mutation

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mutantsOf returns "operator: difference" of the mutants that one of the operators makes of a source.
func mutantsOf(t *testing.T, text string, operators ...string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "p"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "p", "p.go"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	all, err := ofSource(dir, "p")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range all {
		if slices.Contains(operators, m.Operator) {
			got = append(got, m.Operator+": "+m.Diff)
		}
	}
	return got
}

func mustBe(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The mutant from which the operator has its being stands here as it stood in the code: a lease that
// reports a death for the first try.
func TestReplaceArgument(t *testing.T) {
	mustBe(t, mutantsOf(t, `package p

import "context"

type attempt struct{ tried int }

type lease struct {
	a, b *attempt
	ctx  context.Context
}

func fail(a *attempt, try int, cause error, ctx context.Context) {}

func (x *lease) Fail(cause error) { fail(x.a, x.a.tried, cause, x.ctx) }

func (x *lease) two(n, m int, b bool, in chan int) {
	use := func(int, bool, <-chan int, string, *attempt) {}
	out := make(chan int, n)
	use(n, b, in, "s", nil)
	use(n+m, true, out, string(rune(n)), x.a)
}
`, "replace-argument"),
		"replace-argument: fail(x.a, x.a.tried, cause, x.ctx): x.a.tried => 0",
		"replace-argument: fail(x.a, x.a.tried, cause, x.ctx): cause => nil",
		"replace-argument: fail(x.a, x.a.tried, cause, x.ctx): x.ctx => context.Background()",
		"replace-argument: use(n, b, in, \"s\", nil): n => m",
		"replace-argument: use(n, b, in, \"s\", nil): n => 0",
		"replace-argument: use(n, b, in, \"s\", nil): b => false",
		"replace-argument: use(n, b, in, \"s\", nil): b => true",
		"replace-argument: use(n, b, in, \"s\", nil): in => out",
		"replace-argument: use(n+m, true, out, string(rune(n)), x.a): n+m => m",
		"replace-argument: use(n+m, true, out, string(rune(n)), x.a): n+m => n",
		"replace-argument: use(n+m, true, out, string(rune(n)), x.a): n+m => 0",
		`replace-argument: use(n+m, true, out, string(rune(n)), x.a): string(rune(n)) => ""`,
		"replace-argument: use(n+m, true, out, string(rune(n)), x.a): x.a => nil",
	)
}

// An assignment is swapped with a statement that depends on it, directly or through other
// functions, or with a call outside the package. A statement that leaves the function stays.
func TestMoves(t *testing.T) {
	mustBe(t, mutantsOf(t, `package p

var a, b, c int

func f()     {}
func g() int { return h() }
func h() int { c++; return c }

func swaps() {
	a = 1
	b = 2
	c = b
	f()
	c = a
	g()
	defer f()
	a = 3
	print(b)
	for range a {
		b++
		f()
	}
}

func blocks() {
	f()
	if a > 0 {
		f()
		g()
	} else {
		g()
	}
	switch {
	case b > 0:
		f()
		return
	default:
		g()
	}
}
`, "swap-assignment", "move-in", "move-out"),
		"swap-assignment: b = 2 <=> c = b",
		"swap-assignment: c = a <=> g()",
		"swap-assignment: a = 3 <=> print(b)",
		"move-in: print(b) into for range a {",
		"move-out: f() out of for range a {",
		"move-in: f() into if a > 0 {",
		"move-out: g() out of if a > 0 {",
		"move-out: g() out of if a > 0 {",
		"move-out: g() out of switch {",
	)
}
