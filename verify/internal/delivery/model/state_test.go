package model

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/spec/delivery"
)

var small = delivery.Bound{
	Partitions: 2, Acks: delivery.AcksOne, MaxBatch: 2, MaxSequence: 9, EpochLimit: 1, MaxMessages: 3, MaxEpoch: 2, MaxIDs: 2,
	MaxStarts: 1, MaxFrees: 1, Codes: delivery.AllCodes, MaxMoves: 1, MaxLog: 2,
}

// text is a state of the small bound as TLC prints it, with a value wrapped.
const text = `/\ frees = 1
/\ moves = 1
/\ epoch = (p1 :> 1 @@ p2 :> -1)
/\ lost = (p1 :> {} @@ p2 :> {1, 3})
/\ highest = <<2, 1>>
/\ id = 2
/\ late = { [part |-> p2, pid |-> 1, epoch |-> 0, seq |-> 0, ms |-> <<2>>],
  [part |-> p1, pid |-> 2, epoch |-> 1, seq |-> 4, ms |-> <<1, 2>>] }
/\ log = ( p1 :> <<[pid |-> 1, epoch |-> 2, seq |-> 3, ms |-> <<1>>]>> @@
  p2 :> <<>> )
/\ pid = (p1 :> 2 @@ p2 :> 1)
/\ queue = (p1 :> <<3>> @@ p2 :> <<>>)
/\ run = "stopping"
/\ safe = (p1 :> 1 @@ p2 :> 0)
/\ sequence = (p1 :> 10 @@ p2 :> -1)
/\ starts = 1
/\ tried = (p1 :> <<"no", "unsure", "refused">> @@ p2 :> <<"no", "no", "no">>)
/\ verdict = ( p1 :> <<"delivered", "none", "none">> @@
  p2 :> <<"rejected", "maybe", "notsent">> )
/\ wire = (p1 :> "large" @@ p2 :> "idle")
/\ admitted = (p1 :> 3 @@ p2 :> 0)
/\ batch = ( p1 :> [ms |-> <<1, 2>>, seq |-> 8, maybe |-> TRUE] @@
  p2 :> [ms |-> <<>>, seq |-> 0, maybe |-> FALSE] )
/\ floor = <<-1, 0>>`

func TestParseStateReadsEveryVariable(t *testing.T) {
	want := delivery.State{Run: delivery.RunStopping, ID: 2, Starts: 1, Frees: 1, Moves: 1}
	copy(want.Highest[:], []int8{2, 1})
	copy(want.Floor[:], []int8{-1, 0})
	want.Late.Add(delivery.Request{Part: 0, Pid: 2, Epoch: 1, Seq: 4, Messages: delivery.MessagesOf(1, 2)})
	want.Late.Add(delivery.Request{Part: 1, Pid: 1, Messages: delivery.MessagesOf(2)})
	p1, p2 := &want.Partitions[0], &want.Partitions[1]
	*p1 = delivery.Partition{Admitted: 3, Queue: delivery.MessagesOf(3), Pid: 2, Epoch: 1, Sequence: 10, Safe: 1,
		Batch: delivery.Batch{Messages: delivery.MessagesOf(1, 2), Seq: 8, Maybe: true}, Wire: delivery.Got(delivery.CodeLarge)}
	p1.Verdict[0] = delivery.VerdictDelivered
	p1.Tried[1], p1.Tried[2] = delivery.TriedUnsure, delivery.TriedRefused
	p1.Log[0] = delivery.Stored{Pid: 1, Epoch: 2, Seq: 3, Messages: delivery.MessagesOf(1)}
	*p2 = delivery.Partition{Pid: 1, Epoch: delivery.None, Sequence: delivery.None, Lost: delivery.SetOf(1, 3)}
	copy(p2.Verdict[:], []delivery.Verdict{delivery.VerdictRejected, delivery.VerdictMaybe, delivery.VerdictNotSent})
	got, err := ParseState(small, []byte(text))
	if err != nil || got != want {
		t.Errorf("%v\n%v", err, delivery.Diff(want, got))
	}
}

func TestParseStateIsStrict(t *testing.T) {
	for _, c := range [][3]string{ // what is replaced, by what, what the error says
		{`/\ frees = 1`, `/\ fries = 1`, `unknown variable "fries"`},
		{`/\ frees = 1`, `/\ moves = 1`, "moves twice"},
		{"/\\ frees = 1\n", ``, "1 variables are missing"},
		{`frees = 1`, `frees = 2`, "from 0 to 1"},
		{`moves = 1`, `moves = -1`, "from 0 to 1"},
		{`p2 :> -1)
/\ lost`, `p2 :> -2)
/\ lost`, "from -1 to 2"},
		{`floor = <<-1, 0>>`, `floor = <<-, 0>>`, "want a number"},
		{`floor = <<-1, 0>>`, `floor = <<-1>>`, "want"},
		{`highest = <<2, 1>>`, `highest = <<2, -1>>`, "from 0 to 2"},
		{`{1, 3}`, `{1, 4}`, "from 1 to 3"},
		{`{1, 3}`, `{0}`, "from 1 to 3"},
		{`{1, 3}`, `{1, 2, 3, 1}`, "at most 3 values"},
		{`part |-> p2`, `part |-> p3`, "from 1 to 2"},
		{`part |-> p2`, `pid |-> 1`, "comes twice"},
		{`part |-> p2`, `port |-> p2`, `"port" does not exist`},
		{`part |-> p2, `, ``, "want"},
		{`ms |-> <<2>>`, `ms |-> <<>>`, "a batch without messages"},
		{`seq |-> 4`, `seq |-> 10`, "from 0 to 9"},
		{`ms |-> <<>>, seq |-> 0`, `ms |-> <<>>, seq |-> 1`, "a batch without messages"},
		{`maybe |-> TRUE`, `maybe |-> 1`, "TRUE or FALSE"},
		{`"stopping"`, `"halting"`, `unknown value "halting"`},
		{`"large"`, `"huge"`, `unknown value "huge"`},
		{`id = 2`, `id = 0`, "from 1 to 2"},
		{`queue = (p1 :> <<3>> @@ p2`, `queue = (p1 :> <<3>> @@ p1`, "comes twice"},
		{`"no", "unsure", "refused"`, `"no", "unsure"`, "want"},
	} {
		if strings.Count(text, c[0]) != 1 {
			t.Fatalf("%q is not in the text once", c[0])
		}
		_, err := ParseState(small, []byte(strings.Replace(text, c[0], c[1], 1)))
		if err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%q for %q: %v, want %q", c[1], c[0], err, c[2])
		}
	}
	for cut := range len(text) {
		if _, err := ParseState(small, []byte(text[:cut])); err == nil {
			t.Errorf("a state that ends after %q is read", text[:cut])
		}
	}
}

func TestBoundIsThatOfTheConfiguration(t *testing.T) {
	const cfg = `INIT Init
NEXT Next
CONSTANTS
    Partitions  = {p1, p2}
    Acks        = "one"
    Idempotent  = FALSE
    MaxBatch    = 2
    MaxSequence = 9
    EpochLimit  = 1
    MaxMessages = 3
    MaxEpoch    = 2
    MaxIDs      = 2
    MaxStarts   = 1
    MaxFrees    = 1
    Codes       = {"ok", "unsure", "retry", "refused", "large", "invalid", "sequence"}
    ZeroFirst   = FALSE
    EpochPerID  = FALSE
    MaxMoves    = 1
    MaxLog      = 2
INVARIANTS
    TypeOK
`
	for _, c := range [][3]string{ // what is replaced, by what, what the error says
		{"", "", ""},
		{"{p1, p2}", "{p2, p1}", "want {p1, p2, ...}"},
		{"{p1, p2}", "{p1, p2, p3}", "Partitions is 3"},
		{"{p1, p2}", "2", "want a set"},
		{`"one"`, `"some"`, `Acks has "some"`},
		{`Idempotent  = FALSE`, `Idempotent  = 0`, "TRUE or FALSE"},
		{`Idempotent  = FALSE`, `Idempotent  = TRUE`, "needs AcksAll"},
		{`{"ok", `, `{"fine", `, `Codes has "fine"`},
		{`MaxLog      = 2`, `MaxLog      = two`, "want a number"},
		{"    MaxLog      = 2\n", "", "MaxLog is not given"},
		{`MaxLog      = 2`, `MaxMoves    = 2`, "MaxMoves is given twice"},
		{`MaxLog      = 2`, "MaxLog      = 2\n    MaxLag      = 2", "unknown constants: MaxLag"},
	} {
		path := filepath.Join(t.TempDir(), "Some.cfg")
		if err := os.WriteFile(path, []byte(strings.Replace(cfg, c[0], c[1], 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		switch got, err := bound(path); {
		case c[2] == "" && (err != nil || got != small):
			t.Errorf("%v, %v", got, err)
		case c[2] != "" && (err == nil || !strings.Contains(err.Error(), c[2])):
			t.Errorf("with %q for %q: %v, want %q", c[1], c[0], err, c[2])
		}
	}
	if _, err := bound("missing.cfg"); err == nil {
		t.Error("a configuration that is not there has a bound")
	}
	if _, err := ModelOf("", "delivery-quicker"); err == nil {
		t.Error("a model that is not there has a bound")
	}
}
