package producer

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// moments holds up the n-th operation of the producer's network until the test lets it go on.
type moments struct {
	mu      sync.Mutex
	left    int // operations until that one; negative: it has been
	reached chan struct{}
	goOn    chan struct{}

	throttle atomic.Int32 // milliseconds, in the answers to produce requests
}

// passes is called at each operation.
func (m *moments) passes() {
	m.mu.Lock()
	m.left--
	hit := m.left == 0
	m.mu.Unlock()
	if hit {
		close(m.reached)
		<-m.goOn
	}
}

type momentConn struct {
	net.Conn
	m        *moments
	produced *atomic.Bool // the last request was a produce request
}

func (c momentConn) Write(b []byte) (int, error) {
	c.m.passes()
	c.produced.Store(len(b) > 6 && b[4] == 0 && b[5] == 0)
	n, err := c.Conn.Write(b)
	c.m.passes()
	return n, err
}

func (c momentConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if ms := c.m.throttle.Load(); ms > 0 && n > 20 && c.produced.Swap(false) {
		binary.BigEndian.PutUint32(b[n-4:n], uint32(ms))
	}
	c.m.passes()
	return n, err
}

type momentRun struct {
	t     *testing.T
	b     *testbroker.Broker
	p     *Producer
	l     *ledger
	leave context.CancelFunc
	m     *moments
}

var momentActs = map[string]func(r *momentRun){
	"ForcedStop":  func(r *momentRun) { r.stop(endedContext()) },
	"ShortStop":   func(r *momentRun) { c, f := context.WithTimeout(bg, 25*time.Millisecond); defer f(); r.stop(c) },
	"PatientStop": func(r *momentRun) { r.stop(bg) },
	"Close":       func(r *momentRun) { r.stopErr(time.Now().Add(20*time.Second), r.p.Close()) },
	"Flush": func(r *momentRun) {
		if err := r.p.Flush(bg); err != nil {
			r.t.Error("Flush:", err)
		}
	},
	"ShortFlush": func(r *momentRun) {
		c, f := context.WithTimeout(bg, 25*time.Millisecond)
		defer f()
		began := time.Now()
		r.p.Flush(c)
		if time.Since(began) > 25*time.Millisecond {
			r.t.Error("Flush took", time.Since(began))
		}
	},
	"Leave":        func(r *momentRun) { r.leave() },
	"LeaveAndStop": func(r *momentRun) { r.leave(); r.stop(bg) },
	"StopTwice": func(r *momentRun) {
		done := async(func() error { return r.p.Stop(bg) })
		r.stop(endedContext())
		<-done
	},
	"ForcedStopAndStart": func(r *momentRun) {
		r.stop(endedContext())
		r.p.Start(bg) // the fault may last
	},
}

func (r *momentRun) stop(ctx context.Context) {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(time.Hour)
	}
	if ctx.Err() != nil {
		end = time.Now()
	}
	r.stopErr(end, r.p.Stop(ctx))
}

// stopErr judges a stop whose context ended then.
func (r *momentRun) stopErr(end time.Time, err error) {
	if over := time.Since(end); over > 50*time.Millisecond {
		r.t.Errorf("the stop took %v longer than its context", over)
	}
	var s *StopError
	if err != nil && !errors.As(err, &s) {
		r.t.Errorf("Stop: %v", err)
	}
	got := [3]int{}
	if s != nil {
		got = [3]int{s.NotSent, s.Maybe, s.Rejected}
		if s.Messages != got[0]+got[1]+got[2] {
			r.t.Errorf("Stop: %v", s)
		}
	}
	time.Sleep(time.Second)
	want := [3]int{}
	r.l.mu.Lock()
	for _, e := range r.l.told {
		for i, class := range []error{ErrNotSent, ErrMaybeDelivered, ErrRejected} {
			if errors.Is(e, class) && errors.Is(e, errCutOff) {
				want[i]++
			}
		}
	}
	r.l.mu.Unlock()
	if got != want {
		r.t.Errorf("the stop counted %v, the callers got %v (not sent, maybe, rejected): %v", got, want, err)
	}
}

var momentFaults = map[string]func(r *momentRun) (over func()){
	"None": func(r *momentRun) func() { return func() {} },
	"Lost": func(r *momentRun) func() {
		h := r.b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: 2})
		n := 0
		r.b.Net.Answered(func() {
			if n++; n == 3 {
				r.b.Net.Cut()
			}
		})
		return h.Remove
	},
	"AppendedThenError": func(r *momentRun) func() {
		return r.b.AppendThenAnswer("the-topic", kerr.NotLeaderForPartition, 3).Remove
	},
	"NotEnough": func(r *momentRun) func() {
		return r.b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: 4}).Remove
	},
	"TooLarge": func(r *momentRun) func() {
		return r.b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: 3}).Remove
	},
	"OutOfOrder": func(r *momentRun) func() {
		return r.b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.UnknownProducerID, Count: 2}).Remove
	},
	"Killed": func(r *momentRun) func() {
		r.b.Net.Kill(0)
		time.AfterFunc(100*time.Millisecond, func() { r.b.Net.Revive(0) })
		return func() { r.b.Net.Revive(0) }
	},
	"Leaderless": func(r *momentRun) func() {
		f := r.b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.LeaderNotAvailable, Count: 30})
		g := r.b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 2})
		return func() { f.Remove(); g.Remove() }
	},
	"Frozen": func(r *momentRun) func() {
		r.b.Net.Freeze()
		time.AfterFunc(40*time.Millisecond, r.b.Net.Thaw)
		return r.b.Net.Thaw
	},
	"Cut": func(r *momentRun) func() { r.b.Net.Cut(); return func() {} },
	"Throttled": func(r *momentRun) func() {
		r.m.throttle.Store(50)
		return func() { r.m.throttle.Store(0) }
	},
	"NoMetadata": func(r *momentRun) func() {
		return r.b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.LeaderNotAvailable, Count: 3}).Remove
	},
}

// momentCase acts at the n-th operation, or a while after it. It returns false if there are fewer.
func momentCase(t *testing.T, fault, act string, n int, lag time.Duration, cfg Config) (more bool) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(2, "the-topic"), kfake.SeedTopics(2, "new-topic"))
		m := &moments{left: -1, reached: make(chan struct{}), goOn: make(chan struct{})}
		l := newLedger()
		l.unordered = cfg.Acks != AcksAll
		cfg.Topic, cfg.AnyTopic, cfg.Logger = "the-topic", true, slog.New(slog.DiscardHandler)
		cfg.Completion = l.completion()
		cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := b.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return momentConn{c, m, new(atomic.Bool)}, nil
		}
		p := newProducer(t, b, cfg)
		start(t, p)
		r := &momentRun{t: t, b: b, p: p, l: l, m: m}
		time.Sleep(time.Second)
		over := momentFaults[fault](r)
		m.mu.Lock()
		m.left = n
		m.mu.Unlock()
		ctx, leave := context.WithCancel(bg)
		defer leave()
		r.leave = leave
		var wg, sends sync.WaitGroup
		write := func(ctx context.Context, topic, name string, k int, key string) {
			wg.Go(func() {
				msgs := messages(name, k)
				for i := range msgs {
					msgs[i].Topic = topic
					if key != "" {
						msgs[i].Key = fmt.Append(nil, key, i%2)
					}
				}
				l.write(ctx, t, p, msgs...)
			})
		}
		write(ctx, "", "a", 3, "k")
		write(bg, "", "b", 3, "")
		wg.Go(func() { l.send(ctx, t, p, &sends, messages("s", 2)...) })
		wg.Go(func() {
			msgs := messages("mixed", 4)
			msgs[1].Topic, msgs[3].Topic = "new-topic", "new-topic"
			l.send(bg, t, p, &sends, msgs...)
		})
		write(bg, "new-topic", "n", 2, "")
		time.Sleep(time.Millisecond)
		write(ctx, "", "c", 3, "k")
		wg.Go(func() {
			if err := p.WriteMessages(bg); err != nil && !errors.Is(err, ErrNotStarted) && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
		idle := make(chan struct{})
		go func() { wg.Wait(); sends.Wait(); time.Sleep(100 * time.Millisecond); close(idle) }()
		select {
		case <-m.reached:
			more = true
			time.Sleep(lag)
			done := async(func() error { momentActs[act](r); return nil })
			synctest.Wait()
			close(m.goOn)
			get(t, done)
		case <-idle:
			m.mu.Lock()
			m.left = -1
			m.mu.Unlock()
		}
		began := time.Now()
		get(t, async(func() error { wg.Wait(); sends.Wait(); return nil }))
		if d := time.Since(began); d > 31*time.Second {
			t.Errorf("verdicts took %v", d)
		}
		over()
		b.Net.Answered(nil)
		b.Net.Altered(nil)
		if err := p.Start(bg); err != nil && act != "Close" {
			t.Fatal(err)
		} else if err == nil {
			if err := l.write(bg, t, p, kafka.Message{Value: []byte("after1"), Key: []byte("k0")}, kafka.Message{Value: []byte("after2"), Key: []byte("k1")}, kafka.Message{Value: []byte("after3"), Topic: "new-topic"}); err != nil {
				t.Error(err)
			}
		}
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		nothingLeft(t, b, p)
		l.verify(t, b, "the-topic", "new-topic")
	})
	return more
}

var everyMoment = flag.Int("moments.every", 12, "TestStopAtEveryMoment: tries each so-many-th moment")

// At an operation of the network, or a moment later, comes a stop, a flush, or the end of callers' contexts,
// with and without a fault: while messages are queued, encoded, written or appended, between two attempts,
// throttled, or while they wait for room, a leader or a topic. Every verdict is true, a forced stop counts
// exactly (D7), nothing hangs, and the producer can be used again.
func TestStopAtEveryMoment(t *testing.T) {
	configs := []Config{
		{},
		{Compression: kafka.Gzip, Linger: 5 * time.Millisecond, BatchSize: 2},
		{MaxInFlightBytes: 700, MaxAttempts: 3},
		{Acks: AcksNone},
		{Acks: AcksOne, Linger: time.Second},
	}
	cases, pair := 0, 0
	for _, fault := range slices.Sorted(maps.Keys(momentFaults)) {
		for _, act := range slices.Sorted(maps.Keys(momentActs)) {
			pair++
			for n, more := 1+pair%*everyMoment, true; more; n += *everyMoment {
				more = false
				cfg, lag := configs[(n+pair)%len(configs)], time.Duration(n/len(configs)%2)*7*time.Millisecond
				t.Run(fmt.Sprintf("%s/%s/%d", fault, act, n), func(t *testing.T) { more = momentCase(t, fault, act, n, lag, cfg) })
				cases++
			}
		}
	}
	t.Logf("%d cases", cases)
}
