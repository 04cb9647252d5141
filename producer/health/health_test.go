package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/producer/health"
)

type answer struct {
	code int
	body struct {
		OK                            bool
		State, Pinged, Partial, Error string
		Failures                      int
	}
}

func ask(t *testing.T, h http.Handler) answer { return askWith(t, context.Background(), h) }

func askWith(t *testing.T, ctx context.Context, h http.Handler) (a answer) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	a.code = w.Code
	if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
		t.Fatalf("%q: %v", w.Body, err)
	}
	if a.body.OK != (a.code == 200) || !a.body.OK && a.code != 503 {
		t.Errorf("status %d: %s", a.code, w.Body)
	}
	if h := w.Header(); h.Get("Cache-Control") != "no-store" || !strings.HasPrefix(h.Get("Content-Type"), "application/json") {
		t.Errorf("headers %v", h)
	}
	return a
}

// fake is a producer whose Pings the test controls.
type fake struct {
	status fsm.Status
	ping   func(ctx context.Context) error
	pings  atomic.Int64
}

func (f *fake) Status() fsm.Status { return f.status }

func (f *fake) Ping(ctx context.Context) error {
	f.pings.Add(1)
	return f.ping(ctx)
}

func started() *fake {
	return &fake{status: fsm.Status{State: fsm.Started, Attempt: 1}, ping: func(context.Context) error { return nil }}
}

// Ready is 200 until the third Ping in a row has failed, and again when one goes
// well; only Pings count, not requests.
func TestReadyFailsAfterThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := started()
		ready := health.Ready(f)
		bad := errors.New("no leader answers")
		for i, step := range []struct {
			err  error
			code int
		}{
			{nil, 200}, {bad, 200}, {bad, 200}, {nil, 200}, // never three in a row
			{bad, 200}, {bad, 200}, {bad, 503}, {bad, 503}, {nil, 200},
			{bad, 200}, {bad, 200}, {fmt.Errorf("ping: %w: topic", producer.ErrPartial), 200}, {bad, 200}, {bad, 200}, {bad, 503},
		} {
			f.ping = func(context.Context) error { return step.err }
			for range 5 { // of which the first alone pings
				a := ask(t, ready)
				if a.code != step.code {
					t.Errorf("step %d: status %d, want %d: %+v", i, a.code, step.code, a.body)
				}
				if (a.body.Error+a.body.Partial == "") != (step.err == nil) {
					t.Errorf("step %d: what is wrong is not told: %+v", i, a.body)
				}
				time.Sleep(time.Second)
			}
			if n := f.pings.Load(); int(n) != i+1 {
				t.Errorf("step %d: %d Pings", i, n)
			}
		}
		// Another start is judged anew.
		f.status.Attempt = 2
		if a := ask(t, ready); a.code != 200 || a.body.Failures != 1 {
			t.Errorf("after another start: %d %+v", a.code, a.body)
		}
	})
}

// A result is used for 5 s, and requests at the same time share a Ping.
func TestReadyShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := started()
		f.ping = func(context.Context) error { time.Sleep(100 * time.Millisecond); return nil }
		ready := health.Ready(f)
		for range 100 { // 10 s
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if a := ask(t, ready); a.code != 200 {
						t.Error(a)
					}
				})
			}
			wg.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.pings.Load(); n != 3 {
			t.Errorf("%d Pings for 2,000 requests in 10.2 s, want 3", n)
		}
	})
}

// A Ping that hangs is given up after 5 s. A request that ends before is answered then, and the
// Ping continues for the others.
func TestReadyWhenThePingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := started()
		f.ping = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		ready := health.Ready(f)
		var codes []int
		for range 4 { // as kubelet asks by default: every 10 s, for 1 s
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			began := time.Now()
			a := askWith(t, ctx, ready)
			if took := time.Since(began); took != time.Second || a.code != 503 {
				t.Errorf("answered %d after %v", a.code, took)
			}
			cancel()
			time.Sleep(9 * time.Second)
		}
		for range 2 {
			began := time.Now()
			codes = append(codes, ask(t, ready).code)
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("a patient request was answered after %v", took)
			}
		}
		if codes[0] != 503 || codes[1] != 503 {
			t.Errorf("%v after four Pings that hung", codes)
		}
		f.ping = func(context.Context) error { return nil }
		if a := ask(t, ready); a.code != 200 {
			t.Errorf("%+v", a)
		}
	})
}

// What is not Started is not ready, is not pinged, and says why.
func TestReadyOnlyWhenStarted(t *testing.T) {
	f := started()
	ready, live := health.Ready(f), health.Live(f)
	for _, s := range []fsm.State{fsm.Idle, fsm.Starting, fsm.Stopping, fsm.Closed} {
		f.status = fsm.Status{State: s, Cause: errors.New("the last attempt failed")}
		if a := ask(t, ready); a.code != 503 || a.body.State != s.String() || a.body.Error != "the last attempt failed" {
			t.Errorf("%v: %+v", s, a)
		}
		if a := ask(t, live); a.code != 200 || a.body.State != s.String() {
			t.Errorf("%v: %+v", s, a)
		}
	}
	if n := f.pings.Load(); n != 0 {
		t.Errorf("%d Pings", n)
	}
}

// A cause that cannot print, and a Ping's error that cannot, are shown as far as possible.
func TestErrorsThatCannotPrint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *onNil
		f := started()
		f.ping = func(context.Context) error { return none }
		ready := health.Ready(f)
		if a := ask(t, ready); a.code != 200 || a.body.Error != "<nil>" {
			t.Errorf("a Ping that failed: %+v", a)
		}
		f.status = fsm.Status{State: fsm.Idle, Cause: none}
		if a := ask(t, ready); a.code != 503 || a.body.Error != "<nil>" {
			t.Errorf("a start that failed: %+v", a)
		}
	})
}

// onNil is an error whose Error panics on a nil pointer.
type onNil struct{ text string }

func (e *onNil) Error() string { return e.text }

// On a cluster: a partition without a leader is reported, a broker that hangs is a failure from the
// third time on, and liveness sends no request.
func TestOnACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		topic := b.CreateTopic(t, 2)
		p, err := producer.New(producer.Config{Brokers: b.Addrs, Topic: topic, Dial: b.Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		live, ready := health.Live(p), health.Ready(p)
		if a := ask(t, ready); a.code != 503 || a.body.State != "Idle" {
			t.Errorf("before the start: %+v", a)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := ask(t, ready); a.code != 200 {
			t.Errorf("after the start: %+v", a)
		}

		var leaderless atomic.Bool
		leaderless.Store(true)
		b.Fake.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if !leaderless.Load() {
				return nil, nil, false
			}
			return withoutLeader(kreq, b, topic), nil, true
		})
		for range 4 {
			time.Sleep(20 * time.Second)
			a := ask(t, ready)
			if a.code != 200 || !strings.Contains(a.body.Partial, topic) || !strings.Contains(a.body.Partial, "[1]") {
				t.Errorf("with a partition without a leader: %+v", a)
			}
		}
		leaderless.Store(false)
		time.Sleep(20 * time.Second)
		if a := ask(t, ready); a.code != 200 || a.body.Partial != "" {
			t.Errorf("when the leader is back: %+v", a)
		}

		hung := b.Hang()
		var codes []int
		for range 4 {
			time.Sleep(10 * time.Second)
			codes = append(codes, ask(t, ready).code)
			synctest.Wait() // what that has asked is on its way no more
			before, began := hung.Hits(), time.Now()
			a := ask(t, live)
			if synctest.Wait(); a.code != 200 || hung.Hits() != before || time.Since(began) != 0 {
				t.Errorf("liveness: %+v, %d requests, %v", a, hung.Hits()-before, time.Since(began))
			}
		}
		if fmt.Sprint(codes) != "[200 200 503 503]" {
			t.Errorf("with a broker that hangs: %v", codes)
		}
		hung.Set(false)
		time.Sleep(10 * time.Second)
		if a := ask(t, ready); a.code != 200 {
			t.Errorf("when the broker is back: %+v", a)
		}
	})
}

// withoutLeader is metadata of a topic whose partition 1 has none.
func withoutLeader(kreq kmsg.Request, b *testbroker.Broker, topic string) kmsg.Response {
	res := kreq.ResponseKind().(*kmsg.MetadataResponse)
	var host string
	var port int32
	fmt.Sscanf(strings.Replace(b.Addrs[0], ":", " ", 1), "%s %d", &host, &port)
	broker := kmsg.NewMetadataResponseBroker()
	broker.NodeID, broker.Host, broker.Port = 0, host, port
	res.Brokers = append(res.Brokers, broker)
	mt := kmsg.NewMetadataResponseTopic()
	mt.Topic = kmsg.StringPtr(topic)
	for n, leader := range []int32{0, -1} {
		mp := kmsg.NewMetadataResponseTopicPartition()
		mp.Partition, mp.Leader = int32(n), leader
		mt.Partitions = append(mt.Partitions, mp)
	}
	res.Topics = append(res.Topics, mt)
	return res
}

func Example() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	var asked health.Producer = p // or what wraps one
	mux := http.NewServeMux()
	mux.Handle("/livez", health.Live(asked))
	mux.Handle("/readyz", health.Ready(asked))

	show := func(path string) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, w.Code)
	}
	show("/livez")
	show("/readyz")
	p.Start(context.Background())
	show("/readyz")
	// Output:
	// /livez 200
	// /readyz 503
	// /readyz 200
}
