package producer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// logs is a slog.Handler that keeps what is logged.
type logs struct {
	mu    sync.Mutex
	lines []string
	slow  func() // called for each, before it is kept
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logs) WithGroup(string) slog.Handler            { return l }

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	if l.slow != nil {
		l.slow()
	}
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// count is how many lines contain what.
func (l *logs) count(what string) (n int) {
	for line := range strings.Lines(l.text()) {
		if strings.Contains(line, what) {
			n++
		}
	}
	return n
}

// A slog handler that is slow, hangs or panics holds up nothing: no write, no Flush, no stop, no
// start. What it cannot keep up with is bounded, and it learns how many warnings it has missed.
func TestLogHandlerHoldsUpNothing(t *testing.T) {
	const n = 300 // warnings
	for name, handler := range map[string]struct {
		slow func(hang chan struct{})
		want func(warned, missed int) bool
	}{
		"slow":   {func(chan struct{}) { time.Sleep(time.Second) }, func(warned, missed int) bool { return warned+missed == n && warned >= most }},
		"hangs":  {func(hang chan struct{}) { <-hang }, func(warned, missed int) bool { return warned+missed == n && warned >= most && warned <= most+2 }},
		"panics": {func(chan struct{}) { panic("boom") }, func(warned, missed int) bool { return warned == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t)
				hang := make(chan struct{})
				log := &logs{slow: func() { handler.slow(hang) }}
				p := newProducer(t, b, Config{
					Topic: b.CreateTopic(t, 1), Logger: slog.New(log),
					Completion: func([]kafka.Message, error) { panic("a warning") },
				})
				began := time.Now()
				start(t, p)
				for i := range n {
					if err := p.WriteMessages(bg, message(fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
				}
				if err := p.Flush(bg); err != nil {
					t.Error(err)
				}
				if err := p.Stop(bg); err != nil {
					t.Error(err)
				}
				holdsNothing(t, p)
				start(t, p)
				b.Hang(kmsg.Produce)
				d := send(t, p, message("last"))
				synctest.Wait()
				if err := p.Stop(endedContext()); err == nil {
					t.Error("a forced Stop returned nil")
				}
				mustBe(t, outcome(t, d), ErrMaybeDelivered)
				if took := time.Since(began); took > 0 {
					t.Errorf("all that took %v", took)
				}
				p.warnings.mu.Lock()
				if len(p.warnings.queue) > most {
					t.Errorf("%d warnings wait, want %d at most", len(p.warnings.queue), most)
				}
				p.warnings.mu.Unlock()

				close(hang)
				time.Sleep(time.Hour) // the slow one catches up
				warned := log.count("Config.Completion panicked")
				missed := 0
				for line := range strings.Lines(log.text()) {
					var k int
					if _, after, ok := strings.Cut(line, "dropped="); ok {
						fmt.Sscan(after, &k)
						missed += k
					}
				}
				if !handler.want(warned, missed-1) { // the last message's, too
					t.Errorf("%d of %d warnings logged, %d said to be dropped", warned, n, missed)
				}
				nothingLeft(t, b, p)
			})
		})
	}
}

// A slog handler that ends its goroutine, as a t.FailNow in it does, loses that warning alone.
func TestLogHandlerThatExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		handled := 0
		log := &logs{slow: func() {
			if handled++; handled%2 == 1 {
				runtime.Goexit()
			}
		}}
		p := newProducer(t, b, Config{
			Topic: b.CreateTopic(t, 1), Logger: slog.New(log),
			Completion: func([]kafka.Message, error) { panic("a warning") },
		})
		start(t, p)
		const n = 10
		for i := range n {
			if err := p.WriteMessages(bg, message(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if warned := log.count("Config.Completion panicked"); handled != n || warned != n/2 {
			t.Errorf("the handler got %d of %d warnings, and has logged %d; want it to go on after each exit", handled, n, warned)
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		nothingLeft(t, b, p)
	})
}

// An outage without a connection is logged once, with the error, though no batch is tried. A short one is not.
func TestUnreachableBrokerIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		log := new(logs)
		p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), Logger: slog.New(log)})
		start(t, p)
		for outage, want := range map[time.Duration]int{100 * time.Millisecond: 0, time.Minute: 1} {
			before := log.count("a broker cannot be reached; still trying")
			b.Net.Kill(0)
			time.Sleep(outage)
			b.Net.Revive(0)
			time.Sleep(10 * time.Second)
			if got := log.count("a broker cannot be reached; still trying") - before; got != want {
				t.Errorf("%d lines about an outage of %v, want %d:\n%s", got, outage, want, log.text())
			}
		}
	})
}
