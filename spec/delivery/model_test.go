package delivery_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed3893aba4/surestart/spec/delivery"
)

// graphs keeps the model's own graph of each pinned bound for all tests of the package.
var graphs = map[string]func() *delivery.Graph{}

func init() {
	for _, p := range delivery.Pins() {
		graphs[p.Model] = sync.OnceValue(p.Graph)
	}
}

// The model alone, without Java, has as many states, edges and levels, and as many
// edges of each action, as TLC has counted.
func TestModelCountsAsTLC(t *testing.T) {
	for _, p := range delivery.Pins() {
		counts, taken := graphs[p.Model]().Counts()
		if counts != p.Counts {
			t.Errorf("%s: the model has %v, TLC %v", p.Model, counts, p.Counts)
		}
		for _, a := range delivery.Actions() {
			if taken[a] != p.Taken[a] {
				t.Errorf("%s: %v is taken %d times, by TLC %d times", p.Model, a, taken[a], p.Taken[a])
			}
		}
		t.Logf("CHECKED delivery model-counts model=%s %v", p.Model, counts)
	}
}

// The table is what the graphs' steps do to the core of their partition: each row
// happens, and nothing that has no row.
func TestTableIsTheGraphsProjection(t *testing.T) {
	happens := map[delivery.Row]bool{}
	for _, p := range delivery.Pins() {
		g := graphs[p.Model]()
		for i := range g.States {
			for _, e := range g.Edges(i) {
				from, to := &g.States[i], &g.States[e.To]
				for q := range p.Bound.Partitions {
					own := q == int(e.Step.Partition) || from.Core(q) != to.Core(q) // all have a Cut
					if own && e.Step.Action.OfCore() {
						happens[delivery.Row{Event: e.Step.Action, From: from.Core(q), To: to.Core(q)}] = true
					} else if from.Core(q) != to.Core(q) {
						t.Fatalf("%v changes the core of p%d in %v", e.Step, q+1, from)
					}
				}
			}
		}
	}
	for _, r := range delivery.Table() {
		if !happens[r] {
			t.Errorf("never happens: %v", r)
		}
		delete(happens, r)
	}
	for r := range happens {
		t.Errorf("happens without a row: %v", r)
	}
}

// While something is undecided or under way, a step is possible that needs neither a new call nor a
// deadline. Only a terminated state has no step at all.
func TestWhateverIsUnderWayGoesOn(t *testing.T) {
	outside := []delivery.Action{
		delivery.Admit, delivery.WithdrawQueued, delivery.WithdrawTaken, delivery.GiveUp, delivery.Stop, delivery.Cut,
		delivery.Start, delivery.Free, delivery.NewID, delivery.LateAppends, delivery.Move,
	}
	for _, p := range delivery.Pins() {
		g, terminated := graphs[p.Model](), 0
		for i := range g.States {
			s := &g.States[i]
			busy := slices.ContainsFunc(s.Partitions[:], func(pt delivery.Partition) bool { return pt.Undecided() != 0 || pt.HasBatch() })
			goesOn := slices.ContainsFunc(g.Edges(i), func(e delivery.Edge) bool { return !slices.Contains(outside, e.Step.Action) })
			if busy && !goesOn {
				t.Fatalf("%s: nothing goes on in %v", p.Model, s)
			}
			if p.Bound.Terminated(s) {
				terminated++
			} else if len(g.Edges(i)) == 0 {
				t.Fatalf("%s: a deadlock in %v", p.Model, s)
			}
		}
		if terminated == 0 {
			t.Errorf("%s: no state is terminated", p.Model)
		}
	}
}

// StepOf finds the parameters of every step of the graph from the two states alone,
// except where several steps have the same effect.
func TestStepOfFindsTheParameters(t *testing.T) {
	one, _ := delivery.PinOf("delivery-start")
	two, _ := delivery.PinOf("delivery-quick")
	one.Bound.Codes = delivery.AllCodes
	two.Bound.Partitions, two.Bound.MaxMoves, two.Bound.Codes = 2, 1, delivery.AllCodes
	for _, b := range []delivery.Bound{one.Bound, two.Bound} {
		g, err := b.Graph()
		if err != nil {
			t.Fatal(err)
		}
		alike := map[delivery.Action]int{}
		for i := range g.States {
			from := &g.States[i]
			for _, e := range g.Edges(i) {
				st, to := e.Step, &g.States[e.To]
				got, ok := delivery.StepOf(st.Action, from, to)
				pt := &from.Partitions[st.Partition]
				several := st.Action == delivery.Move && b.Partitions == 2 && *pt == to.Partitions[st.Partition] ||
					st.Action == delivery.AnswerInvalid && pt.Batch.Messages.Set()&^pt.Undecided() != 0
				if ok == several || ok && got != st {
					t.Fatalf("%v looks like %v, %v, in %v", st, got, ok, from)
				}
				if several {
					alike[st.Action]++
				}
			}
		}
		if (alike[delivery.Move] > 0) != (b.Partitions == 2) || alike[delivery.AnswerInvalid] == 0 {
			t.Errorf("%v: several steps look alike: %v", b, alike)
		}
	}
}

func TestNextRefusesWhatIsNoStep(t *testing.T) {
	p, _ := delivery.PinOf("delivery-quick")
	b := p.Bound
	late := delivery.Request{Pid: 1, Messages: delivery.MessagesOf(1)}
	s, err := b.After([]delivery.Step{{Action: delivery.Admit}, {Action: delivery.Admit}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		step delivery.Step
		ok   bool
	}{
		{delivery.Step{Action: delivery.WithdrawQueued, Message: 2}, true},
		{delivery.Step{Action: delivery.WithdrawQueued, Message: 0}, false},
		{delivery.Step{Action: delivery.WithdrawQueued, Message: 3}, false},
		{delivery.Step{Action: delivery.WithdrawQueued, Message: 2, N: 1}, false}, // a parameter that it does not have
		{delivery.Step{Action: delivery.TakeInNextEpoch, N: 1}, true},
		{delivery.Step{Action: delivery.TakeInNextEpoch, N: 0}, false},
		{delivery.Step{Action: delivery.TakeInNextEpoch, N: 2}, false}, // more than MaxBatch
		{delivery.Step{Action: delivery.TakeInNextEpoch, N: 1, Partition: 1}, false},
		{delivery.Step{Action: delivery.Take, N: 1}, false}, // not enabled
		{delivery.Step{Action: delivery.Admit}, false},      // not enabled any more
		{delivery.Step{Action: delivery.Stop}, true},
		{delivery.Step{Action: delivery.Stop, Partition: 1}, false},
		{delivery.Step{Action: delivery.AnswerInvalid, Records: delivery.SetOf(3)}, false},
		{delivery.Step{Action: delivery.LeaderRefuses, Answer: 99}, false},
		{delivery.Step{Action: delivery.LateAppends, Late: late}, false},
		{delivery.Step{Action: delivery.LateAppends, Partition: 1, Late: late}, false},
		{delivery.Step{Action: delivery.Move, N: 9}, false},
		{delivery.Step{Action: delivery.Action(99)}, false},
	} {
		if next, ok := b.Next(s, c.step); ok != c.ok || !ok && next != s {
			t.Errorf("%v: %v, to %v", c.step, ok, next)
		}
	}
	if _, err := b.After([]delivery.Step{{Action: delivery.Stop}, {Action: delivery.Admit}}); err == nil ||
		!strings.Contains(err.Error(), "step 2, Admit(p1), is not enabled") {
		t.Error(err)
	}
}

// A bound that a State cannot hold, or that the specification excludes, is an error that names the field.
func TestBoundsAreChecked(t *testing.T) {
	p, _ := delivery.PinOf("delivery-quick")
	for _, c := range []struct {
		alter func(b *delivery.Bound)
		says  string
	}{
		{func(b *delivery.Bound) { b.Partitions = 3 }, "Bound.Partitions is 3, want 1 to 2"},
		{func(b *delivery.Bound) { b.Partitions = 0 }, "Bound.Partitions is 0, want 1 to 2"},
		{func(b *delivery.Bound) { b.MaxBatch = 0 }, "Bound.MaxBatch is 0"},
		{func(b *delivery.Bound) { b.MaxMessages = 5 }, "Bound.MaxMessages is 5, want 1 to 4"},
		{func(b *delivery.Bound) { b.MaxIDs = 3 }, "Bound.MaxIDs is 3"},
		{func(b *delivery.Bound) { b.MaxSequence = 1 << 31 }, "Bound.MaxSequence"},
		{func(b *delivery.Bound) { b.MaxEpoch = -1 }, "Bound.MaxEpoch is -1"},
		{func(b *delivery.Bound) { b.MaxLog = 5 }, "Bound.MaxLog is 5"},
		{func(b *delivery.Bound) { b.Acks = delivery.AcksOne }, "Bound.Idempotent needs AcksAll, Acks is one"},
		{func(b *delivery.Bound) { b.Acks = 3 }, "Bound.Acks is 3"},
		{func(b *delivery.Bound) { b.Codes = 0xff }, "Bound.Codes has answers that do not exist: 0b10000000"},
	} {
		b := p.Bound
		c.alter(&b)
		if g, err := b.Graph(); g != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %s", err, c.says)
		}
	}
}

// The names of the TLA+ are the model's, in the same order: the named guards, the
// disjuncts of Next, the constants, the variables.
func TestNamesAreThoseOfTheTLA(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile("../../tla/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	partition, kafka := read("Partition.tla"), read("PartitionOnKafka.tla")
	find := func(text, re string) (names []string) {
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		return names
	}
	if guards := find(partition, `(?m)^(\w+)(?:\([a-z, ]*\))? +== .*\\\* D\d`); !slices.Equal(guards, delivery.GuardNames()) {
		t.Errorf("the guards are\n%q, in the model\n%q", guards, delivery.GuardNames())
	}
	_, next, _ := strings.Cut(kafka, "\nNext ==\n")
	next, _, _ = strings.Cut(next, "\\/ Terminating\n")
	var actions []string
	for _, a := range delivery.Actions() {
		actions = append(actions, a.String())
	}
	if got := find(next, `(?m)^    \\/ (?:\\E .* : )?(\w+)(?:\([^)]*\))?$`); !slices.Equal(got, actions) {
		t.Errorf("the actions are\n%q, in the model\n%q", got, actions)
	}
	_, variables, _ := strings.Cut(partition, "\nVARIABLES\n")
	variables, _, _ = strings.Cut(variables, "\n\n")
	a, b := delivery.State{}, delivery.State{Run: delivery.RunStopped, ID: 1, Starts: 1, Frees: 1, Moves: 1}
	b.Highest[0], b.Floor[0] = 1, 1
	b.Late.Add(delivery.Request{Pid: 1, Messages: delivery.MessagesOf(1)})
	b.Partitions[0] = delivery.Partition{Admitted: 1, Queue: delivery.MessagesOf(1), Batch: delivery.Batch{Maybe: true}, Wire: delivery.WireWriting,
		Pid: 1, Epoch: 1, Sequence: 1, Safe: 1, Lost: 1}
	b.Partitions[0].Verdict[0], b.Partitions[0].Tried[0], b.Partitions[0].Log[0] = delivery.VerdictMaybe, delivery.TriedUnsure, delivery.Stored{Pid: 1}
	var diffed []string
	for _, d := range delivery.Diff(a, b) {
		diffed = append(diffed, d.Var)
	}
	if got := find(variables, `(?m)^    (\w+),? `); !slices.Equal(got, diffed) {
		t.Errorf("the variables are\n%q, of a State\n%q", got, diffed)
	}
}

func TestStatesReadWell(t *testing.T) {
	p, _ := delivery.PinOf("delivery-start")
	b := p.Bound
	b.Codes = delivery.AllCodes
	steps := []delivery.Step{
		{Action: delivery.Admit}, {Action: delivery.Admit}, {Action: delivery.TakeInNextEpoch, N: 2}, {Action: delivery.Send},
		{Action: delivery.Write}, {Action: delivery.LoseWritten}, {Action: delivery.GiveUp, Message: 1},
		{Action: delivery.Send}, {Action: delivery.Write}, {Action: delivery.LeaderAppends},
	}
	s, err := b.After(steps)
	if err != nil {
		t.Fatal(err)
	}
	const want = "started id=1 highest=<<0, 0>> floor=<<-1, 0>> late={p1:<<1, 2>>@1.0.0}" +
		" | p1 admitted=2 batch=<<1, 2>>@0? wire=ok verdict=[maybe none none none] tried=[no unsure no no]" +
		" pid=1 epoch=0 sequence=2 log=<<<<1, 2>>@1.0.0>> safe=1"
	if s.String() != want {
		t.Errorf("\n%v, want\n%v", s, want)
	}
	wrong := s
	wrong.Partitions[0].Batch.Maybe, wrong.Partitions[0].Verdict[1] = false, delivery.VerdictDelivered
	var got []string
	for _, d := range delivery.Diff(s, wrong) {
		got = append(got, d.String())
	}
	if want := []string{"batch[p1]: want <<1, 2>>@0?, got <<1, 2>>@0", "verdict[p1,2]: want none, got delivered"}; !slices.Equal(got, want) {
		t.Errorf("the differences are %q, want %q", got, want)
	}
	for _, c := range []struct {
		v    interface{ String() string }
		want string
	}{
		{steps[6], "GiveUp(p1, 1)"},
		{steps[2], "TakeInNextEpoch(p1, 2)"},
		{delivery.Step{Action: delivery.Cut}, "Cut"},
		{delivery.Step{Action: delivery.AnswerInvalid, Records: delivery.SetOf(1, 2)}, "AnswerInvalid(p1, {1, 2})"},
		{delivery.Step{Action: delivery.LeaderRefuses, Partition: 1, Answer: delivery.CodeLarge}, "LeaderRefuses(p2, large)"},
		{delivery.Step{Action: delivery.LateAppends, Late: s.Late[0]}, "LateAppends(p1:<<1, 2>>@1.0.0)"},
		{delivery.Table()[0], "Admit: Empty -> Empty"},
		{b, "1 partition, 2 messages, batches of 2, acks = all, idempotent, " +
			`codes {"ok", "unsure", "retry", "refused", "large", "invalid", "sequence"}, 1 further start, 1 change of leader`},
	} {
		if c.v.String() != c.want {
			t.Errorf("%v, want %s", c.v, c.want)
		}
	}
}

// The path to a state leads there, also where a model begins after answers that it leaves out.
func TestPathsLeadWhereTheySay(t *testing.T) {
	for _, model := range []string{"delivery-fenced", "delivery-quick"} {
		g := graphs[model]()
		for i := range g.States {
			if s, err := g.Bound.After(g.Path(i)); err != nil || s != g.States[i] {
				t.Fatalf("%s: the path to %d leads to %v, want %v (%v)", model, i, s, g.States[i], err)
			}
		}
	}
}

func BenchmarkEnabled(b *testing.B) {
	g := graphs["delivery-three"]()
	var buf []delivery.Step
	n := 0
	b.ReportAllocs()
	b.ResetTimer()
	for n < b.N {
		for i := range g.States {
			buf = g.Bound.Enabled(&g.States[i], buf[:0])
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/state")
}
