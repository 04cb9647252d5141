package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestSeries(t *testing.T) {
	slow, fast := series{30, 20, 400}, series{10, 10, 100}
	if got := slow.median(); got != 30 {
		t.Errorf("median %v, want 30", got)
	}
	// A round in which the machine was busy has the same ratio as the others.
	if got := slow.over(fast); got != 3 {
		t.Errorf("ratio %v, want 3", got)
	}
	if got := (series)(nil).median(); !math.IsNaN(got) {
		t.Errorf("median of nothing: %v", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.35271: "0.353", 1: "1", 1.5: "1.50", 12.345: "12.3", 456.7: "457",
		9999: "9,999", 12345.6: "12,346", 100_000: "100,000", 1_234_567: "1,234,567", -301.4: "-301", -1234: "-1,234", math.NaN(): "–"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

// In turns means forwards, then backwards, so that no contender is always first.
func TestInTurns(t *testing.T) {
	order := ""
	all := inTurns(3, 2, func(i int) float64 {
		order += string(rune('A' + i))
		return float64(len(order))
	})
	if order != "ABBAAB" {
		t.Errorf("order %s, want ABBAAB", order)
	}
	if len(all[0]) != 3 || all[1][1] != 3 {
		t.Errorf("measured %v", all)
	}
}

func TestTable(t *testing.T) {
	x := &table{head: []string{"who", "ns"}}
	x.row("`Start`", "0.35")
	want := "| who     |   ns |\n|---------|-----:|\n| `Start` | 0.35 |\n"
	if got := x.String(); got != want {
		t.Errorf("table:\n%swant:\n%s", got, want)
	}
}

func TestBudget(t *testing.T) {
	if b := (budget{measured: 1.5, limit: 1.5}); !b.holds() {
		t.Error("one that is met exactly does not hold")
	}
	if b := (budget{measured: math.NaN(), limit: 1.5}); b.holds() {
		t.Error("one that was not measured holds")
	}
	if b := (budget{measured: math.NaN(), limit: 1.5, least: true}); b.holds() {
		t.Error("one that was not measured holds, of those with a least")
	}
	if low, high := (budget{measured: 1.4, limit: 1.5, least: true}), (budget{measured: 1.5, limit: 1.5, least: true}); low.holds() || !high.holds() {
		t.Error("a least is not kept as one")
	}
}

// The tables go between their marks, and nothing else changes.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	text := "before\n<!-- bench life -->\nold\n<!-- end life -->\nafter\n"
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	s := &section{name: "life"}
	s.say("new")
	if err := record(path, []*section{s}); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(path)
	if want := "before\n<!-- bench life -->\n\nnew\n\n<!-- end life -->\nafter\n"; string(got) != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
	if err := record(path, []*section{{name: "other"}}); err == nil || !strings.Contains(err.Error(), "bench other") {
		t.Errorf("a part that the file lacks: %v", err)
	}
}

// docs/figures/performance.md has marks for every part.
func TestDocumentationHasAllParts(t *testing.T) {
	text, err := os.ReadFile("../docs/figures/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		for _, mark := range []string{"<!-- bench " + p.name + " -->", "<!-- end " + p.name + " -->"} {
			if strings.Count(string(text), mark) != 1 {
				t.Errorf("docs/figures/performance.md: want %s once", mark)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	if got, err := choose("life,cold"); err != nil || len(got) != 2 {
		t.Errorf("life,cold: %v, %v", got, err)
	}
	if _, err := choose("lief"); err == nil {
		t.Error("lief: no error")
	}
}

// Each contender does what it is measured for: its loop runs, and so does the function beside it
// that starts and stops.
func TestContenders(t *testing.T) {
	for _, cs := range [][]contender{startedContenders(), useContenders(), lifeContenders()} {
		for _, c := range cs {
			if c.beside != nil {
				c.beside()
			}
			if elapsed(c, setup{procs: 2, goroutines: 2}, 8, nil) <= 0 {
				t.Errorf("%s: no time", c.name)
			}
		}
	}
}

// A herd of each kind: the lifecycle opens once, and no Start returns before it is open. A guard
// whose callers return early is detected.
func TestStampede(t *testing.T) {
	for i, g := range guards() {
		h := stampede(g, 100, true)
		if i == coldStart && (h.opens != 1 || h.early != 0) {
			t.Errorf("%s: %d opens, %d let go early", g.name, h.opens, h.early)
		}
		if strings.HasPrefix(g.name, "CometBFT") && h.early != 99 {
			t.Errorf("%s: %d let go early, want 99", g.name, h.early)
		}
		if h.took < time.Millisecond {
			t.Errorf("%s: took %v, less than the open", g.name, h.took)
		}
	}
}

func TestLeave(t *testing.T) {
	for _, c := range crowds() {
		if ns := leave(c, 10); ns <= 0 {
			t.Errorf("%s: %v ns", c.name, ns)
		}
	}
}

// One try that another program got into does not fail a watch, five do.
func TestWatch(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		tries []float64
		calls int
		fails bool
	}{
		"well":         {[]float64{1}, 1, false},
		"disturbed":    {[]float64{9, 9, 9, 9, 1}, 5, false},
		"not at first": {[]float64{nan, 1}, 2, false},
		"regression":   {[]float64{9, 8, 7, 6, 5, 1}, 5, true},
		"unmeasured":   {[]float64{nan, nan, nan, nan, nan}, 5, true},
	} {
		calls := 0
		w := watch{name, 1.5, func(*bench) (float64, error) { calls++; return c.tries[calls-1], nil }}
		_, lowest, err := new(bench).tried([]watch{w})
		if err != nil || calls != c.calls || (lowest[0] <= w.most) == c.fails {
			t.Errorf("%s: lowest %v after %d tries (%v), want %d tries, fails %t", name, lowest, calls, err, c.calls, c.fails)
		}
	}
}

// Clients are what they say: each that this program has can be named, and no other.
func TestClientNamed(t *testing.T) {
	for _, c := range clients {
		if got, err := clientNamed(c.name); err != nil || got.name != c.name {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := clientNamed("nobody"); err == nil {
		t.Error("nobody: no error")
	}
}

// What each client says was acknowledged is what the embedded broker holds.
func TestClientsOnEmbedded(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	c := newCluster("kfake", fake.ListenAddrs()[0], func() {})
	for _, x := range clients {
		if x.name == bareWriter { // a second for each write
			continue
		}
		topic, err := c.topic(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := workload{Client: x.name, Addr: c.addr, Topic: topic, Firsts: 1, Lone: 2, Callers: 2, Batch: 3, For: time.Millisecond}
		y, err := w.do(t.Context())
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if n, err := c.ends(t.Context(), topic); err != nil || n != y.Sent || n == 0 {
			t.Errorf("%s: %d acknowledged, the topic holds %d (%v)", x.name, y.Sent, n, err)
		}
	}
}
