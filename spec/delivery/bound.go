package delivery

import (
	"fmt"
	"strings"
)

// Acks says which replicas acknowledge a batch: Acks in tla/Partition.tla.
type Acks uint8

// The values of Acks.
const (
	AcksAll Acks = iota
	AcksOne
	AcksNone
)

var acksNames = []string{"all", "one", "none"}

func (v Acks) String() string { return nameOf(acksNames, uint8(v)) }

// Answer is a class of answers to a produce request: one of Answers in tla/Partition.tla.
type Answer uint8

// The answers, in the order of the table of error codes in tla/Partition.tla.
const (
	CodeOk       Answer = iota // it is in the log, as Acks says
	CodeUnsure                 // it may be in the log or not
	CodeRetry                  // refused before the append, for now
	CodeRefused                // refused before the append, for good
	CodeLarge                  // the batch is too large
	CodeInvalid                // some of its records are refused
	CodeSequence               // not the sequence number or epoch expected

	numAnswers = iota
)

var answerNames = []string{"ok", "unsure", "retry", "refused", "large", "invalid", "sequence"}

func (v Answer) String() string { return nameOf(answerNames, uint8(v)) }

// Codes is a set of answers.
type Codes uint8

// AllCodes are all Answers.
const AllCodes Codes = 1<<numAnswers - 1

// CodesOf returns the set of these answers.
func CodesOf(answers ...Answer) Codes {
	var set Codes
	for _, a := range answers {
		set |= 1 << a
	}
	return set
}

// Has reports whether the answer is in the set.
func (set Codes) Has(a Answer) bool { return a < numAnswers && set&(1<<a) != 0 }

// String returns the set as the TLA+ writes it: {"ok", "sequence"}.
func (set Codes) String() string {
	var names []string
	for a := range Answer(numAnswers) {
		if set.Has(a) {
			names = append(names, fmt.Sprintf("%q", a))
		}
	}
	return "{" + strings.Join(names, ", ") + "}"
}

// Bound has the constants of tla/Partition.tla and tla/PartitionOnKafka.tla. Equal
// bounds are the same model.
type Bound struct {
	Partitions  int  // how many there are: p1 to pN
	Acks        Acks // Config.RequiredAcks
	Idempotent  bool // Config.Idempotence; needs AcksAll
	MaxBatch    int  // the largest number of messages in a batch
	MaxSequence int  // the last sequence number
	EpochLimit  int  // from this epoch on, the producer requests another id
	MaxMessages int  // messages, all partitions together
	MaxEpoch    int  // the highest epoch
	MaxIDs      int  // producer ids
	MaxStarts   int  // starts after the first
	MaxFrees    int  // cores freed

	Codes      Codes // the answers that the leader may give
	ZeroFirst  bool  // a producer id that is new to the partition must begin with sequence number 0
	EpochPerID bool  // the broker has one epoch for each id, not for each partition and id: kfake
	MaxMoves   int   // changes of leader
	MaxLog     int   // batches in a log, when not idempotent

	hook *hook // see guards.go; nil: as specified
}

// Check returns an error that names a field which is out of range: a State could not
// hold the model's states, or the specification excludes the value.
func (b Bound) Check() error {
	for _, f := range []struct {
		name           string
		got, min, most int
	}{
		{"Partitions", b.Partitions, 1, maxPartitions},
		{"MaxBatch", b.MaxBatch, 1, maxNumber},
		{"MaxSequence", b.MaxSequence, 0, maxNumber},
		{"EpochLimit", b.EpochLimit, 0, maxNumber},
		{"MaxMessages", b.MaxMessages, 1, maxMessages},
		{"MaxEpoch", b.MaxEpoch, 0, maxNumber},
		{"MaxIDs", b.MaxIDs, 1, maxIDs},
		{"MaxStarts", b.MaxStarts, 0, maxNumber},
		{"MaxFrees", b.MaxFrees, 0, maxNumber},
		{"MaxMoves", b.MaxMoves, 0, maxNumber},
		{"MaxLog", b.MaxLog, 0, maxLog},
	} {
		if f.got < f.min || f.got > f.most {
			return fmt.Errorf("delivery: Bound.%s is %d, want %d to %d", f.name, f.got, f.min, f.most)
		}
	}
	switch {
	case b.Acks > AcksNone:
		return fmt.Errorf("delivery: Bound.Acks is %d, want AcksAll, AcksOne or AcksNone", b.Acks)
	case b.Codes&^AllCodes != 0:
		return fmt.Errorf("delivery: Bound.Codes has answers that do not exist: %#b", b.Codes&^AllCodes)
	case b.Idempotent && b.Acks != AcksAll:
		return fmt.Errorf("delivery: Bound.Idempotent needs AcksAll, Acks is %v", b.Acks)
	}
	return nil
}

// String returns, for example, "1 partition, 2 messages, batches of 1, acks = all,
// idempotent, codes {"ok", "unsure"}". What cannot happen is left out.
func (b Bound) String() string {
	var t strings.Builder
	fmt.Fprintf(&t, "%s, %s, batches of %d, acks = %v", count(b.Partitions, "partition"), count(b.MaxMessages, "message"), b.MaxBatch, b.Acks)
	flag(&t, b.Idempotent, ", idempotent")
	fmt.Fprintf(&t, ", codes %v", b.Codes)
	for _, f := range []struct {
		n    int
		what string
	}{{b.MaxIDs - 1, "further id"}, {b.MaxStarts, "further start"}, {b.MaxFrees, "core"}, {b.MaxMoves, "change"}} {
		if f.n > 0 {
			t.WriteString(", " + count(f.n, f.what))
			flag(&t, f.what == "core", " freed")
			flag(&t, f.what == "change", " of leader")
		}
	}
	flag(&t, b.ZeroFirst, ", a new id begins at 0")
	flag(&t, b.EpochPerID, ", an epoch per id")
	return t.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func flag(b *strings.Builder, on bool, text string) {
	if on {
		b.WriteString(text)
	}
}
