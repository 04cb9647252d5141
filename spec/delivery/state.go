package delivery

import (
	"fmt"
	"strconv"
	"strings"
)

// Run says whether the producer is started: run in tla/Partition.tla.
type Run uint8

// The values of Run.
const (
	RunStarted Run = iota
	RunStopping
	RunStopped
)

// Wire says how far the request with a batch is: wire in tla/Partition.tla.
type Wire uint8

// The values of Wire, except for the answers: see Got.
const (
	WireIdle    Wire = iota // no request is under way
	WireWriting             // it is being written
	WireWritten             // it is written whole, and the leader has not handled it

	wireAnswer = iota // and from here on the answers
)

// Got returns the Wire of a request whose answer is on its way to the producer.
func Got(a Answer) Wire { return wireAnswer + Wire(a) }

// Answer returns the answer that is on its way to the producer, or false if there is none.
func (v Wire) Answer() (Answer, bool) {
	if v < wireAnswer {
		return 0, false
	}
	return Answer(v - wireAnswer), true
}

// Verdict is the verdict of a message: verdict in tla/Partition.tla.
type Verdict uint8

// The verdicts.
const (
	VerdictNone Verdict = iota // not decided
	VerdictDelivered
	VerdictNotSent  // ErrNotSent
	VerdictRejected // ErrRejected
	VerdictMaybe    // ErrMaybeDelivered
)

// Tried is what really became of the requests with an undecided message: tried in
// tla/Partition.tla. The producer may not know it.
type Tried uint8

// The values of Tried.
const (
	TriedNo      Tried = iota
	TriedRefused       // a broker refused the last one
	TriedUnsure        // one may have been appended
)

var (
	runNames     = []string{"started", "stopping", "stopped"}
	wireNames    = append([]string{"idle", "writing", "written"}, answerNames...)
	verdictNames = []string{"none", "delivered", "notsent", "rejected", "maybe"}
	triedNames   = []string{"no", "refused", "unsure"}
)

func (v Run) String() string     { return nameOf(runNames, uint8(v)) }
func (v Wire) String() string    { return nameOf(wireNames, uint8(v)) }
func (v Verdict) String() string { return nameOf(verdictNames, uint8(v)) }
func (v Tried) String() string   { return nameOf(triedNames, uint8(v)) }

func nameOf(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "?" + strconv.Itoa(int(v))
}

// None is the epoch of a partition without a core, and the sequence number of a
// partition that needs another epoch.
const None = -1

// Batch is the batch under way. The zero value is the NoBatch of the TLA+.
type Batch struct {
	Messages Messages
	Seq      Number // the sequence number of its first message
	Maybe    bool   // an earlier request with it may have been appended
}

// String returns, for example, "<<1, 2>>@0", with a question mark if Maybe is true.
func (v Batch) String() string {
	s := v.Messages.String() + "@" + strconv.Itoa(int(v.Seq))
	if v.Maybe {
		s += "?"
	}
	return s
}

// Stored is a batch in a log.
type Stored struct {
	Pid        uint8
	Epoch, Seq Number
	Messages   Messages
}

// String returns, for example, "<<1>>@1.0.0": the messages, the producer id, the epoch and
// the sequence number.
func (v Stored) String() string { return fmt.Sprintf("%v@%d.%d.%d", v.Messages, v.Pid, v.Epoch, v.Seq) }

// Request is a produce request with a batch. The zero value is no request.
type Request struct {
	Part       uint8 // the partition, counted from 0
	Pid        uint8
	Epoch, Seq Number
	Messages   Messages
}

// String returns, for example, "p1:<<1>>@1.0.0".
func (r Request) String() string { return fmt.Sprintf("p%d:%v", r.Part+1, r.stored()) }

// stored is the batch of the request, as a log has it.
func (r *Request) stored() Stored { return Stored{r.Pid, r.Epoch, r.Seq, r.Messages} }

// before orders requests.
func (r *Request) before(q *Request) bool {
	switch {
	case r.Part != q.Part:
		return r.Part < q.Part
	case r.Pid != q.Pid:
		return r.Pid < q.Pid
	case r.Epoch != q.Epoch:
		return r.Epoch < q.Epoch
	case r.Seq != q.Seq:
		return r.Seq < q.Seq
	}
	for i, m := range r.Messages {
		if m != q.Messages[i] {
			return m < q.Messages[i]
		}
	}
	return false
}

// Log is the log of a partition. The first zero batch ends it.
type Log [maxLog]Stored

// Len returns the number of batches.
func (l *Log) Len() int {
	n := 0
	for n < len(l) && l[n] != (Stored{}) {
		n++
	}
	return n
}

// String returns, for example, "<<<<1>>@1.0.0, <<2>>@1.0.1>>".
func (l Log) String() string {
	var all []string
	for _, v := range l[:l.Len()] {
		all = append(all, v.String())
	}
	return "<<" + strings.Join(all, ", ") + ">>"
}

// Partition has the variables of one partition: of its core, its request and its leader.
type Partition struct {
	Admitted uint8                // messages admitted so far
	Queue    Messages             // messages admitted, in no batch
	Batch    Batch                // the batch under way
	Wire     Wire                 // how far the request with the batch is
	Verdict  [maxMessages]Verdict // of message m at m-1
	Tried    [maxMessages]Tried   // of message m at m-1
	Pid      uint8                // the producer id that it uses
	Epoch    Number               // None: it has no core
	Sequence Number               // the next sequence number; None: another epoch is needed
	Log      Log                  // its log at the leader
	Safe     uint8                // how many batches of the log every in-sync replica has
	Lost     Set                  // with AcksOne: messages lost with their leader
}

// Undecided returns the messages that were admitted and have no verdict.
func (pt *Partition) Undecided() Set { return upTo(pt.Admitted) &^ pt.decided() }

// HasBatch reports whether a batch is under way.
func (pt *Partition) HasBatch() bool { return pt.Batch.Messages[0] != 0 }

// decided returns the messages that have a verdict.
func (pt *Partition) decided() Set {
	var set Set
	for i, v := range pt.Verdict {
		if v != VerdictNone {
			set |= 1 << i
		}
	}
	return set
}

// State is the value of every variable of tla/Partition.tla at one instant. Two States
// are the same state if and only if they are equal. Entries beyond a bound are zero.
type State struct {
	Run        Run
	ID         uint8                    // the newest producer id
	Highest    [maxIDs]Number           // the highest epoch of id i is at i-1
	Floor      [maxIDs]Number           // the highest epoch of id i that a partition without a core may have used is at i-1
	Late       Requests                 // requests written whole, whose connection was lost before an answer
	Starts     uint8                    // starts so far
	Frees      uint8                    // cores freed so far
	Moves      uint8                    // changes of leader so far
	Partitions [maxPartitions]Partition // p1 is at 0
}

// Init returns the initial state.
func (b Bound) Init() State {
	s := State{ID: 1}
	for i := range b.MaxIDs {
		s.Floor[i] = None
	}
	for p := range b.Partitions {
		s.Partitions[p] = Partition{Pid: 1, Epoch: None, Sequence: None}
	}
	return s
}

// String returns the state on one line: the producer, then each partition, with the
// variables that differ from their initial values.
func (s State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v id=%d highest=<<%s>> floor=<<%s>>", s.Run, s.ID, list(s.Highest[:]), list(s.Floor[:]))
	flag(&b, s.Late.Len() > 0, " late="+s.Late.String())
	flag(&b, s.Starts > 0, " starts="+strconv.Itoa(int(s.Starts)))
	flag(&b, s.Frees > 0, " frees="+strconv.Itoa(int(s.Frees)))
	flag(&b, s.Moves > 0, " moves="+strconv.Itoa(int(s.Moves)))
	for p := range s.Partitions {
		if pt := &s.Partitions[p]; *pt != (Partition{}) { // else beyond the bound
			fmt.Fprintf(&b, " | p%d %v", p+1, *pt)
		}
	}
	return b.String()
}

// String returns the variables that differ from their initial values.
func (pt Partition) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "admitted=%d", pt.Admitted)
	flag(&b, pt.Queue.Len() > 0, " queue="+pt.Queue.String())
	flag(&b, pt.HasBatch(), " batch="+pt.Batch.String())
	flag(&b, pt.Wire != WireIdle, " wire="+pt.Wire.String())
	flag(&b, pt.decided() != 0, fmt.Sprintf(" verdict=%v", pt.Verdict))
	flag(&b, pt.Tried != [maxMessages]Tried{}, fmt.Sprintf(" tried=%v", pt.Tried))
	fmt.Fprintf(&b, " pid=%d epoch=%d sequence=%d", pt.Pid, pt.Epoch, pt.Sequence)
	flag(&b, pt.Log.Len() > 0, fmt.Sprintf(" log=%v safe=%d", pt.Log, pt.Safe))
	flag(&b, pt.Lost != 0, " lost="+pt.Lost.String())
	return b.String()
}
