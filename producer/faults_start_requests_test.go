package producer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// request is one that a start makes, and the part that it belongs to.
type request struct {
	key  kmsg.Key
	part string
}

// requestsOfAStart are all of the first start of a producer, part by part: three connections, two of
// them to the leader. The connects to the leader begin while the producer id is asked for.
var requestsOfAStart = []request{
	{kmsg.ApiVersions, "metadata"}, {kmsg.Metadata, "metadata"},
	{kmsg.InitProducerID, "producer id"},
	{kmsg.ApiVersions, "leaders"}, {kmsg.ApiVersions, "leaders"},
	{kmsg.Produce, "permission"},
}

// inPart calls f at each request of a part of the starts that follow. If f returns true the broker
// does with it what f says.
func inPart(b *testbroker.Broker, part string, f func() (kmsg.Response, error, bool)) {
	parts := partsOfAStart()
	b.Fake.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		if parts(r) != part {
			return nil, nil, false
		}
		return f()
	})
}

// partsOfAStart returns a function that returns the part of the start to which a request belongs.
func partsOfAStart() func(kmsg.Request) string {
	asked := false // for metadata
	return func(r kmsg.Request) string {
		switch kmsg.Key(r.Key()) {
		case kmsg.Metadata:
			asked = true
			return "metadata"
		case kmsg.InitProducerID:
			return "producer id"
		case kmsg.Produce:
			return "permission"
		}
		if asked {
			return "leaders"
		}
		return "metadata"
	}
}

// hangIn is testbroker.Broker.Hang for the requests of a part of a start.
func hangIn(b *testbroker.Broker, part string) *hungPart {
	h := new(hungPart)
	h.on.Store(true)
	inPart(b, part, func() (kmsg.Response, error, bool) {
		if h.on.Load() {
			h.hits.Add(1)
		}
		return nil, nil, h.on.Load()
	})
	return h
}

type hungPart struct {
	on   atomic.Bool
	hits atomic.Int32
}

func TestRequestsOfAStart(t *testing.T) {
	synctest.Test(t, testRequestsOfAStart)
}

func testRequestsOfAStart(t *testing.T) {
	b := testbroker.Virtual(t)
	p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), CheckWritePermission: true})
	var seen []request
	var parts func(kmsg.Request) string
	b.Fake.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		seen = append(seen, request{kmsg.Key(r.Key()), parts(r)})
		return nil, nil, false
	})
	want := requestsOfAStart
	for range 3 {
		parts, seen = partsOfAStart(), nil
		start(t, p)
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if last := seen[len(seen)-1]; last.part != "permission" {
			t.Errorf("the last request is %v, and the permission is asked for before it", last)
		}
		slices.SortStableFunc(seen, func(a, b request) int { return place(a) - place(b) })
		if !slices.Equal(seen, want) {
			t.Errorf("a start makes the requests %v, want %v: the tests of each need a look", seen, want)
		}
		// From then on it has a producer id, and keeps it.
		want = slices.DeleteFunc(slices.Clone(want), func(r request) bool { return r.key == kmsg.InitProducerID })
	}
}

// place is where the part of a request stands in a start.
func place(r request) int {
	return slices.IndexFunc(requestsOfAStart, func(other request) bool { return other.part == r.part })
}

// atRequest calls f when the n-th of requestsOfAStart has come; if it returns true
// that one is never answered.
func atRequest(b *testbroker.Broker, n int, f func() bool) {
	want := requestsOfAStart[n]
	left := 0 // of the requests with this key
	for _, r := range requestsOfAStart[:n+1] {
		if r.key == want.key {
			left++
		}
	}
	b.Fake.ControlKey(want.key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		left--
		return nil, nil, left == 0 && f()
	})
}

// failing is the part at which a start fails at this request. At a connect to the leader, the
// producer id may not be there yet.
func (r request) failing() string {
	if r.part == "leaders" {
		return anyPart
	}
	return r.part
}

// A broker that is killed at any moment of a start, and a caller or a stop that ends
// it there: it fails at the part that it was at, leaves nothing, and works again at once.
func TestStartEndsAtEveryRequest(t *testing.T) {
	type ending struct {
		name string
		run  func(t *testing.T, b *testbroker.Broker, p *Producer, n int, at request)
	}
	for _, e := range []ending{
		{"Killed", func(t *testing.T, b *testbroker.Broker, p *Producer, n int, at request) {
			atRequest(b, n, func() bool { b.Net.Kill(0); return true })
			failsThenStarts(t, b, p, at.failing(), func() { b.Net.Revive(0) })
		}},
		{"KilledAfterTheAnswer", func(t *testing.T, b *testbroker.Broker, p *Producer, n int, _ request) {
			var answers atomic.Int32
			b.Net.Answered(func() {
				if int(answers.Add(1)) == n+1 {
					b.Net.Kill(0)
				}
			})
			if next := n + 1; next < len(requestsOfAStart) {
				part := requestsOfAStart[next].part
				if b.Name != "virtual" || next > 2 {
					part = anyPart // the reset of the connection may overtake the answer; or the answers come in any order
				}
				failsThenStarts(t, b, p, part, func() { b.Net.Revive(0) })
				return
			}
			if err := p.Start(bg); err != nil { // it had all its answers, unless a reset overtook the last
				if b.Name == "virtual" {
					t.Error(err)
				}
				b.Net.Revive(0)
				startsAndWrites(t, b, p)
				return
			}
			write := async(func() error { return p.WriteMessages(bg, message("x")) })
			until(t, "connects that fail", func() bool { return p.Counters().ConnectFailures > 1 })
			b.Net.Revive(0)
			if err := get(t, write); err != nil {
				t.Error(err)
			}
			if err := p.Stop(bg); err != nil {
				t.Error(err)
			}
			startsAndWrites(t, b, p)
		}},
		{"ConnectionsCut", func(t *testing.T, b *testbroker.Broker, p *Producer, n int, at request) {
			atRequest(b, n, func() bool { b.Net.Cut(); return true })
			if at.part == "producer id" || at.part == "leaders" { // the id is asked for again, and then the leader connected to
				var failed *fsm.StartError
				if err := p.Start(bg); err != nil && (!errors.As(err, &failed) || failed.Part != "leaders") {
					t.Errorf("Start: %v", err)
				}
				startsAndWrites(t, b, p)
				return
			}
			failsThenStarts(t, b, p, at.part, func() {})
		}},
		{"CallerLeaves", func(t *testing.T, b *testbroker.Broker, p *Producer, n int, at request) {
			reason := errors.New("no more time")
			ctx, cancel := context.WithCancelCause(bg)
			atRequest(b, n, func() bool { cancel(reason); return true })
			mustBe(t, p.Start(ctx), reason)
			until(t, "the rollback", func() bool { return p.State() == fsm.Idle })
			var failed *fsm.StartError
			if !errors.As(p.Status().Cause, &failed) || at.failing() != anyPart && failed.Part != at.part {
				t.Errorf("cause %v, want part %s", p.Status().Cause, at.part)
			}
			nothingLeft(t, b, p)
			startsAndWrites(t, b, p)
		}},
		{"CallerLeavesAfterTheAnswer", func(t *testing.T, b *testbroker.Broker, p *Producer, n int, _ request) {
			reason := errors.New("no more time")
			ctx, cancel := context.WithCancelCause(bg)
			var answers atomic.Int32
			b.Net.Answered(func() {
				if int(answers.Add(1)) == n+1 {
					cancel(reason)
				}
			})
			if err := p.Start(ctx); err != nil { // it may have been done by then
				mustBe(t, err, reason)
				until(t, "the rollback", func() bool { return p.State() == fsm.Idle })
				nothingLeft(t, b, p)
			}
			startsAndWrites(t, b, p)
		}},
		{"Stopped", func(t *testing.T, b *testbroker.Broker, p *Producer, n int, at request) {
			came := make(chan struct{})
			atRequest(b, n, func() bool { close(came); return true })
			starting := async(func() error { return p.Start(bg) })
			get(t, came)
			if err := p.Stop(bg); err != nil {
				t.Error(err)
			}
			mustBe(t, get(t, starting), ErrStopped)
			nothingLeft(t, b, p)
			startsAndWrites(t, b, p)
		}},
		{"StoppedByForce", func(t *testing.T, b *testbroker.Broker, p *Producer, n int, at request) {
			came := make(chan struct{})
			atRequest(b, n, func() bool { close(came); return true })
			starting := async(func() error { return p.Start(bg) })
			get(t, came)
			ended, cancel := context.WithCancel(bg)
			cancel()
			began := time.Now()
			if err := p.Stop(ended); err != nil {
				mustBe(t, err, context.Canceled)
			}
			if took := time.Since(began); b.Name == "virtual" && took > 50*time.Millisecond {
				t.Errorf("a Stop whose context had ended took %v", took)
			}
			mustBe(t, get(t, starting), ErrStopped)
			startsAndWrites(t, b, p) // at once
		}},
	} {
		t.Run(e.name, func(t *testing.T) {
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				for n, at := range requestsOfAStart {
					p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), CheckWritePermission: true})
					e.run(t, b, p, n, at)
					b.Net.Answered(nil)
					if t.Failed() {
						t.Fatalf("at request %d, %v", n, at)
					}
				}
			})
		})
	}
}

// A broker that goes silent once it is connected ends a start in its time.
func TestStartFreezesAtEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n, at := range requestsOfAStart {
			b := testbroker.Virtual(t)
			p := newProducer(t, b, Config{Topic: b.CreateTopic(t, 1), CheckWritePermission: true, StartTimeout: 15 * time.Second})
			atRequest(b, n, func() bool { b.Net.Freeze(); return true })
			began := time.Now()
			err := failsThenStarts(t, b, p, at.failing(), func() {
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("frozen at request %d: Start took %v, want at most the StartTimeout", n, took)
				}
				b.Net.Thaw()
			}, context.DeadlineExceeded)
			timedOut(t, err)
		}
	})
}
