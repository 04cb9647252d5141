package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo/naive"
	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/flight"
	"github.com/seed3893aba4/surestart/internal/terminal"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/spec"
)

// The deadline of the stop over a broker that hangs is shorter than the promise about its return.
const (
	stopPatience = 1500 * time.Millisecond
	stopPromise  = 2 * time.Second
	stopLimit    = 3 * time.Second // after this the storm goes on without a Stop that does not return
	hangGuard    = 60 * time.Second
	stallGuard   = 10 * time.Second // if no message is acknowledged for so long, none will be
	mostShown    = 6                // transitions in a row; the rest are counted
)

// A storm is one run of one system through all acts.
type storm struct {
	cfg    Config
	cl     *cluster
	screen *Screen
	sys    system
	ours   *producer.Producer // nil: a naive flag
	load   *load
	col    column

	recorder *flight.Recorder
	shown    int // of its transitions
}

// stuck is a system that does not get through the storm.
type stuck struct{ error }

// brave takes one system through the storm: the naive flag, or surestart.
func brave(ctx context.Context, cfg Config, screen *Screen, flag bool) (_ column, err error) {
	key := kmsg.Metadata // surestart asks for it as it opens, and then only when a leader has moved
	if flag {
		key = kmsg.ListOffsets // only Start asks for it; a kafka.Writer asks for metadata again and again
	}
	cl, err := newCluster(ctx, cfg.Brokers, key)
	defer func() { err = errors.Join(err, cl.close()) }()
	if err != nil {
		return column{}, err
	}
	screen.introduce(cfg, flag)
	s := &storm{cfg: cfg, screen: screen, cl: cl, recorder: flight.NewRecorder(1000 + 10*cfg.Callers),
		col: column{Name: "surestart", StateAfter: true, Legal: true, Drained: true}}
	if flag {
		p := &naive.Producer{Brokers: cl.brokers, Topic: cl.topic, Dial: cl.dial}
		stop := func(context.Context) error { return p.Stop() }
		s.sys, s.col.Name = system{p.Start, stop, stop, p.WriteMessages}, "a naive flag"
	} else {
		if s.ours, err = newProducer(cl, fsm.WithObserver(s.recorder.Observe)); err != nil {
			return s.col, err
		}
		s.sys = system{s.ours.Start, s.ours.Stop, s.ours.Shutdown, s.ours.WriteMessages}.broken(cfg.Break, cl)
	}
	s.load = newLoad(s.sys, cfg.Messages)
	err = s.play(ctx, s.refused, s.ignored, s.woken, s.interrupted, s.hung, s.finished, s.readBack)
	s.load.end()
	return s.col, err
}

// transitions shows the transitions since the last call, and compares all with the specification's
// table.
func (s *storm) transitions(ctx context.Context) {
	if s.ours != nil {
		s.ours.FlushObservers(ctx)
	}
	recording := s.recorder.Recording()
	s.col.Legal = s.col.Legal && recording.Check() == nil
	seen := recording.Transitions[s.shown:]
	s.shown += len(seen)
	for _, t := range seen[:min(len(seen), mostShown)] {
		s.screen.transition(t)
	}
	if hidden := len(seen) - mostShown; hidden > 0 {
		s.screen.note("  … and %v more transitions: a caller that comes after a failure gets a new attempt", hidden)
	}
}

// within waits until done returns true, for as long as limit.
func within(limit time.Duration, done func() bool) {
	for end := time.Now().Add(limit); !done() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}

// play runs some acts, until ctx ends or the system is stuck.
func (s *storm) play(ctx context.Context, acts ...func(context.Context) error) error {
	for _, act := range acts {
		err := act(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if st, ok := errors.AsType[stuck](err); ok {
			s.col.Stuck, s.col.Acknowledged = st.Error(), int(s.load.count.Load())
			s.screen.note("It gets no further: %v.", clip(s.col.Stuck, 75))
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refused: act 1. Every caller gets the error, and nothing is left.
func (s *storm) refused(ctx context.Context) error {
	s.screen.act(1, "The broker is down. %v callers call Start at once.", s.cfg.Callers)
	o := s.crowd(ctx, s.cfg.Callers, 0, 5*time.Second, func() {})
	s.stop(ctx, hangGuard, s.sys.stop, spec.Idle)
	s.screen.note("%v got the error, %v \"ok\".", s.cfg.Callers-o.ok, o.ok)
	return nil
}

// ignored: act 2. The broker accepts connections and does not answer. All callers give up, and the
// last one to leave ends the attempt.
func (s *storm) ignored(ctx context.Context) error {
	s.screen.act(2, "It hangs: it accepts, and never answers. %v callers call Start; all give up in the end.", s.cfg.Callers)
	s.cl.set(hanging)
	o := s.crowd(ctx, s.cfg.Callers, s.cfg.Callers, 0, func() {})
	s.stop(ctx, hangGuard, s.sys.stop, spec.Idle)
	s.screen.note("%v gave up, %v got \"ok\" though nothing was open.", s.cfg.Callers-o.ok, o.early)
	return nil
}

// woken: act 3. The broker hangs until every caller has called and the impatient ones have left;
// then it works. One opening serves all callers that waited.
func (s *storm) woken(ctx context.Context) error {
	impatient := s.cfg.Callers / 5
	s.screen.act(3, "It hangs, then works. %v callers call Start; %v of them give up before it works.", s.cfg.Callers, impatient)
	before := s.cl.opened.Load()
	o := s.crowd(ctx, s.cfg.Callers, impatient, hangGuard, func() {
		time.Sleep(500 * time.Millisecond)
		s.cl.set(working)
	})
	s.col.Opens = int(s.cl.opened.Load() - before)
	s.col.Denied += max(0, s.cfg.Callers-impatient-o.ok)
	s.transitions(ctx)
	s.screen.note("Openings that the broker counted: %v. %v got \"ok\", %v of them too early; %v gave up.",
		s.col.Opens, o.ok, o.early, s.cfg.Callers-o.ok)
	if o.err != nil {
		s.screen.note("One got the error: %v", clip(o.err.Error(), 90))
	}
	return nil
}

// interrupted: act 4. It is stopped with writes in flight, and started again.
func (s *storm) interrupted(ctx context.Context) error {
	s.screen.act(4, "8 writers send %v messages. It is stopped in the middle, and started again.", s.cfg.Messages)
	s.load.add(0, s.cfg.Messages*9/10)
	s.load.begin(ctx)
	if err := s.load.reach(ctx, s.cfg.Messages*2/5); err != nil {
		return err
	}
	s.drain(ctx, s.sys.stop, spec.Idle) // without an end: kafka-go's issue 1307, a write that races Close
	return s.again(ctx)
}

// drain is a stop over a broker that works.
func (s *storm) drain(ctx context.Context, stop func(context.Context) error, to fsm.State) {
	_, err := s.stop(ctx, hangGuard, stop, to)
	s.col.Drained = s.col.Drained && err == nil
	s.load.end()
}

// again starts a stopped system, by as many callers as there are writers.
func (s *storm) again(ctx context.Context) error {
	before := s.cl.opened.Load()
	o := s.crowd(ctx, writers, 0, hangGuard, func() {})
	s.col.Reopens += int(s.cl.opened.Load() - before)
	s.col.Denied += writers - o.ok
	switch {
	case o.ok > 0:
	case o.err != nil:
		return stuck{fmt.Errorf("it cannot be started again: %w", o.err)}
	default:
		return stuck{fmt.Errorf("no Start has succeeded within %v", hangGuard)}
	}
	s.transitions(ctx)
	s.load.begin(ctx)
	return nil
}

// hung: act 5. The broker hangs while messages are being sent, and the producer is stopped within
// a deadline. Then the broker dies.
func (s *storm) hung(ctx context.Context) error {
	if err := s.load.reach(ctx, s.cfg.Messages*7/10); err != nil {
		return err
	}
	s.screen.act(5, "The broker hangs again, with writes in flight. Stop is called with a deadline of %v.", seconds(stopPatience))
	s.cl.set(hanging)
	s.load.add(s.cfg.Messages*9/10, s.cfg.Messages) // however quick the writers were, there is something to send
	time.Sleep(100 * time.Millisecond)
	within(stallGuard, func() bool { return s.load.writing.Load() > 0 })
	s.col.InFlight = int(s.load.writing.Load())
	var err error
	s.col.HungTime, err = s.stop(ctx, stopPatience, s.sys.stop, spec.Idle)
	if forced := new(producer.StopError); errors.As(err, &forced) {
		s.col.CutOff = forced.Messages
	}
	s.load.end()
	s.cl.set(down)
	return nil
}

// finished: act 6. The broker is back. The messages that were not acknowledged are sent, and the
// producer is closed for good.
func (s *storm) finished(ctx context.Context) error {
	s.screen.act(6, "The broker was killed and is back. The rest is sent, then the producer is closed for good.")
	s.cl.set(working)
	if n := len(s.load.maybe); n > 0 { // the naive producer's errors do not say which messages these are
		copies, err := s.cl.copies(ctx, s.cfg.Messages)
		if err != nil {
			return err
		}
		found := s.load.lookUp(copies)
		s.screen.note("Of the %v that may have been delivered %v are on the broker. The other %v are sent again.", n, found, n-found)
	}
	if err := s.again(ctx); err != nil {
		return err
	}
	if err := s.load.reach(ctx, s.cfg.Messages); err != nil {
		return err
	}
	s.drain(ctx, s.sys.shutdown, spec.Closed)
	return nil
}

func (s *storm) readBack(ctx context.Context) error {
	copies, err := s.cl.copies(ctx, s.cfg.Messages)
	if err != nil {
		return err
	}
	for n, there := range copies {
		acked := s.load.acked[n] // no writer is left
		if acked {
			s.col.Acknowledged++
		}
		if there > 0 {
			s.col.Found++
			s.col.Duplicates += there - 1
		} else if acked {
			s.col.Lost++
		}
	}
	s.screen.note("franz-go, an independent client, reads back %v of %v: %v lost, %v twice.",
		s.col.Found, s.cfg.Messages, s.col.Lost, s.col.Duplicates)
	return nil
}

// stop calls a stop and goes on without it after stopLimit. It shows how the stop ended, and what is
// left: what is ending gets a moment, the same for both systems.
func (s *storm) stop(ctx context.Context, patience time.Duration, stop func(context.Context) error, to fsm.State) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- stop(ctx) }()
	select {
	case err = <-done:
		took = time.Since(began)
	case <-time.After(stopLimit):
		took, err = stopLimit, errors.New("it has not returned")
	}
	s.transitions(context.WithoutCancel(ctx))
	var conns, left int
	within(700*time.Millisecond, func() bool {
		conns, left = int(s.cl.open.Load()), goroutines()
		return conns == 0 && left == 0
	})
	s.col.Conns, s.col.Goroutines = max(s.col.Conns, conns), max(s.col.Goroutines, left)
	s.col.StateAfter = s.col.StateAfter && (s.ours == nil || s.ours.State() == to)

	how := "no error"
	if forced := new(producer.StopError); errors.As(err, &forced) {
		how = fmt.Sprintf("%s messages cut off, %s not sent, %s maybe delivered", terminal.Commas(forced.Messages), terminal.Commas(forced.NotSent+forced.Rejected), terminal.Commas(forced.Maybe))
	} else if err != nil {
		how = clip(err.Error(), 80)
	}
	s.screen.note("Stop: %v, %v. Left: %v connections, %v goroutines.", seconds(took), how, conns, left)
	return took, err
}

// goroutines counts those in code of a producer or of kafka-go. Those that the storm started,
// its callers and writers, do not count.
func goroutines() (n int) {
	var stacks bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&stacks, 2)
	for stack := range strings.SplitSeq(stacks.String(), "\n\n") {
		_, creator, _ := strings.Cut(stack, "created by ")
		of := func(where string) bool { return strings.Contains(stack, where) }
		if slices.ContainsFunc([]string{"segmentio/kafka-go.", "surestart/fsm.", "surestart/producer"}, of) && !strings.Contains(creator, "surestart/internal/demo.") {
			n++
		}
	}
	return n
}
