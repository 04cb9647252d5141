// Package core decides the fate of the messages of one partition. It has the queue, and the batch under way with its
// sequence numbers and epoch. It decides which messages are sent again, and every verdict. It is tla/Partition.tla in Go:
// a method is the action of the same name, or chooses among several actions; a field is a variable.
//
// The package does no input or output, and has no clock, goroutine or lock. It sees no bytes and counts no attempts. Each
// event is a call of a method: a message is admitted, a request was written, an answer came. The method returns what
// the caller must do. The whole state of a [Partition], and of the
// [IDs] that partitions share, is in their fields, so verify/internal/delivery/partition can walk every state and step of
// them beside the model.
//
// A message is a number. A partition numbers its messages in the order in which it admits them, starting at 1.
//
// Two methods keep the order (D4). [Partition.Admit] puts messages at the end of the queue. [Partition.Take] takes a
// batch from its front, and only while no other batch is under way. If a request with the last batch may still be
// appended, Take changes the epoch (identity.next): the leader then refuses requests of the old epoch.
//
// An event that the state does not allow returns a [NotAllowed] and changes nothing.
//
// Neither a [Partition] nor the [IDs] that partitions share may be used by two goroutines at once. [Partition.Take],
// [Partition.Answer], [Partition.Free], [New] and the methods of IDs use the IDs. Callers of
// these must hold a lock that all partitions of the same IDs share.
package core

import "fmt"

// Message is the number of a message of a partition.
type Message uint64

// Run is the messages from First to Last.
type Run struct{ First, Last Message }

// Verdict is what became of a message (D1, D2).
type Verdict uint8

// The verdicts, as tla/Delivery.tla names them.
const (
	Delivered Verdict = iota + 1 // it is in the log, as Acks says
	NotSent                      // it is not in the log, and never will be, and no broker refused it
	Rejected                     // the same, and a broker refused it last
	Maybe                        // the producer started to write a request with it; the outcome is not known
)

var verdictNames = [...]string{Delivered: "delivered", NotSent: "notsent", Rejected: "rejected", Maybe: "maybe"}

// String returns the verdict's name in the specification.
func (v Verdict) String() string { return name(verdictNames[:], int(v), "Verdict") }

// Decided is the messages of a run and their verdict.
type Decided struct {
	Run
	Verdict Verdict
}

// Outcome is what an event leads to. Its slice is valid until the next event of the partition.
type Outcome struct {
	// Decided are the messages that got their verdict by this event, in their order.
	Decided []Decided
	// Changed: messages have left the batch, and others are still in it. Encode it anew: see [Partition.Batch].
	Changed bool
}

// Request is a produce request with the batch of a partition. Its slice is valid until the next event of the partition.
type Request struct {
	ID       int64 // the producer id; -1: not idempotent, as are Epoch and Sequence
	Epoch    int16
	Sequence int32 // of the first message
	Messages []Run // in their order; some may have their verdict already
	Len      int   // how many messages that is
	// Again: an earlier request with this batch may have been appended, so the same bytes must be sent again (D3).
	Again bool
}

// Mode says what is promised about the log.
type Mode uint8

const (
	Idempotent   Mode = iota // each message once, in order (D3, D4); requests carry sequence numbers
	Acknowledged             // neither; the leader answers
	Unanswered               // the same, and it does not answer: RequiredAcks is none
)

// Limits are Kafka's; a model has smaller ones.
type Limits struct {
	MaxSequence int64 // the last sequence number
	EpochLimit  int16 // from this epoch on, another producer id is due
	MaxEpoch    int16 // the last epoch
}

// KafkaLimits are those of the protocol. The epochs from EpochLimit to MaxEpoch are for batches that end in doubt until
// the partition has changed to another producer id.
var KafkaLimits = Limits{MaxSequence: 1<<31 - 1, EpochLimit: 30_000, MaxEpoch: 1<<15 - 1}

// State is where the batch of a partition is.
type State uint8

// The states. In doubt an earlier request may have been appended.
const (
	Empty        State = iota // there is no batch
	Waiting                   // for its first or next request
	Writing                   // a request is being written
	Awaiting                  // it was written whole: its answer is awaited
	DoubtWaiting              // the same three, in doubt
	DoubtWriting
	DoubtAwaiting
	Stopped // the producer is stopped: there are no messages
)

var stateNames = [...]string{"Empty", "Waiting", "Writing", "Awaiting", "DoubtWaiting", "DoubtWriting", "DoubtAwaiting", "Stopped"}

// String returns the state's name.
func (s State) String() string { return name(stateNames[:], int(s), "State") }

// Event is what happens to a partition.
type Event uint8

// The events, one for each method.
const (
	EventAdmit Event = iota
	EventWithdraw
	EventTake
	EventSend
	EventWrite
	EventLose
	EventAnswer
	EventHandedOver
	EventStop
	EventStopEnds
	EventCut
	EventStart
	EventFree
	EventNewID
)

var eventNames = [...]string{
	"Admit", "Withdraw", "Take", "Send", "Write", "Lose", "Answer", "HandedOver", "Stop", "StopEnds", "Cut", "Start", "Free", "NewID",
}

// String returns the name of the event's method.
func (e Event) String() string { return name(eventNames[:], int(e), "Event") }

// NotAllowed is the error of an event that the state does not allow. Nothing has changed.
type NotAllowed struct {
	Event Event
	State State // of the partition; NewID is of none
}

func (n NotAllowed) Error() string {
	if n.Event == EventNewID {
		return "core: NewID is not allowed: the newest producer id has epochs left"
	}
	return fmt.Sprintf("core: %v is not allowed: the partition is %v", n.Event, n.State)
}

func name(names []string, i int, kind string) string {
	if i < len(names) && names[i] != "" {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", kind, i)
}
