package producer

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// idRequests counts the requests for a producer id. While refusal is set it is their answer.
type idRequests struct {
	n       atomic.Int64
	refusal atomic.Pointer[kerr.Error]
}

func watchIDs(b *testbroker.Broker) *idRequests {
	r := new(idRequests)
	b.Fake.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		r.n.Add(1)
		refusal := r.refusal.Load()
		if refusal == nil {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		res.ErrorCode, res.ProducerID, res.ProducerEpoch = refusal.Code, -1, -1
		return res, nil, true
	})
	return r
}

// A cluster that gives this user no producer id, or has none to give, ends a start for good. The
// error names the option, the broker and its answer. Without idempotence no id is requested.
func TestProducerIDRefused(t *testing.T) {
	old := kversion.V2_1_0()
	old.SetMaxKeyVersion(kmsg.InitProducerID.Int16(), -1)
	for _, c := range []struct {
		name    string
		refusal *kerr.Error
		want    kafka.Error
		opts    []kfake.Opt
	}{
		{"NotAllowed", kerr.ClusterAuthorizationFailed, kafka.ClusterAuthorizationFailed, nil},
		{"AnotherCode", kerr.InvalidRequest, kafka.InvalidRequest, nil},
		{"NoSuchRequest", nil, kafka.UnsupportedVersion, []kfake.Opt{kfake.MaxVersions(old)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t, append(c.opts, kfake.SeedTopics(2, "t"))...)
				ids := watchIDs(b)
				ids.refusal.Store(c.refusal)
				for _, i := range []Idempotence{IdempotenceAuto, IdempotenceOn} {
					p, seen := persistent(t, b, time.Second, Config{Topic: "t", Idempotence: i})
					began := time.Now()
					err := p.Start(bg)
					var failed *fsm.StartError
					if !errors.As(err, &failed) || failed.Part != "producer id" || failed.Rollback != nil {
						t.Errorf("Start: %v, want a StartError of part producer id", err)
					}
					mustBe(t, err, ErrNoIdempotence, c.want)
					mustBe(t, p.Status().Cause, ErrNoIdempotence, c.want)
					texts := []string{"Config.Idempotence", b.Addrs[0]}
					if c.want == kafka.ClusterAuthorizationFailed {
						texts = append(texts, "needs WRITE on a topic")
					}
					for _, text := range texts {
						if !strings.Contains(err.Error(), text) {
							t.Errorf("%v does not name %s", err, text)
						}
					}
					if took := time.Since(began); took > time.Second || len(seen.steps) > 0 || Temporary(err) {
						t.Errorf("%v: it took %v, it was tried again %d times, Temporary is %t", err, took, len(seen.steps), Temporary(err))
					}
					nothingLeft(t, b, p)
				}
				if n := ids.n.Load(); c.refusal != nil && n != 2 {
					t.Errorf("%d requests for a producer id, want one for each start", n)
				}
				ids.n.Store(0)
				for _, cfg := range []Config{{Idempotence: IdempotenceOff}, {Acks: AcksOne}, {Acks: AcksNone}} {
					cfg.Topic = "t"
					p := newProducer(t, b, cfg)
					start(t, p)
					if err := p.WriteMessages(bg, messages("m", 3)...); err != nil {
						t.Errorf("%v: %v", cfg, err)
					}
				}
				if n := ids.n.Load(); n != 0 {
					t.Errorf("%d requests for a producer id without idempotence", n)
				}
			})
		})
	}
}

// A cluster that cannot give a producer id yet is waited for: a Start takes as long as that,
// or until its StartTimeout, and then says what the broker said last. A stop does not wait.
func TestProducerIDNotYet(t *testing.T) {
	for _, refusal := range []*kerr.Error{
		kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.ConcurrentTransactions,
	} {
		t.Run(refusal.Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := testbroker.Virtual(t, kfake.SeedTopics(2, "t"))
				ids := watchIDs(b)
				ids.refusal.Store(refusal)
				p := newProducer(t, b, Config{Topic: "t"})
				began := time.Now()
				err := p.Start(bg)
				var failed *fsm.StartError
				if !errors.As(err, &failed) || failed.Part != "producer id" {
					t.Errorf("Start: %v, want a StartError of part producer id", err)
				}
				mustBe(t, err, context.DeadlineExceeded, kafka.Error(refusal.Code))
				if !strings.Contains(err.Error(), b.Addrs[0]) || errors.Is(err, ErrNoIdempotence) || !Temporary(err) {
					t.Errorf("%v: want it to be Temporary, and to name the broker", err)
				}
				if took := time.Since(began); took < 29*time.Second || took > 30*time.Second {
					t.Errorf("the start took %v, want the StartTimeout", took)
				}
				if n := ids.n.Load(); n > 60 {
					t.Errorf("%d requests within the StartTimeout", n)
				}
				nothingLeft(t, b, p)

				starting := async(func() error { return p.Start(bg) })
				time.Sleep(5 * time.Second)
				began = time.Now()
				if err := p.Stop(bg); err != nil {
					t.Error(err)
				}
				mustBe(t, get(t, starting), ErrStopped)
				if took := time.Since(began); took > 0 {
					t.Errorf("the stop took %v", took)
				}
				nothingLeft(t, b, p)

				starting = async(func() error { return p.Start(bg) })
				time.Sleep(5 * time.Second)
				ids.refusal.Store(nil)
				began = time.Now()
				if err := get(t, starting); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the start took %v more when there were ids", took)
				}
				if err := p.WriteMessages(bg, messages("m", 3)...); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The leaders are connected to while the cluster has no producer id yet. One that could not be
// reached then is tried again when there is an id, at once.
func TestProducerIDMeanwhileLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3, kfake.SeedTopics(3, "t"))
		for i := range int32(3) {
			if err := b.Fake.MoveTopicPartition("t", i, i); err != nil {
				t.Fatal(err)
			}
		}
		ids := watchIDs(b)
		ids.refusal.Store(kerr.CoordinatorNotAvailable)
		var down, hangs atomic.Pointer[string] // these addresses refuse, or do not answer
		p := newProducer(t, b, Config{Topic: "t", StartTimeout: time.Minute, Brokers: b.Addrs[:1],
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if a := down.Load(); a != nil && *a == address {
					return nil, errRefused
				}
				if a := hangs.Load(); a != nil && *a == address {
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				return b.Dial(ctx, network, address)
			}})
		down.Store(&b.Addrs[1])
		starting := async(func() error { return p.Start(bg) })
		time.Sleep(20 * time.Second)
		if now, _ := connections(p); now != 4 || p.Status().Acquiring != "producer id" {
			t.Errorf("%d connections to leaders at the part %q, want 4 at producer id: two to each that can be reached", now, p.Status().Acquiring)
		}
		hangs.Store(&b.Addrs[2])
		b.Net.Cut() // who has had a connection needs it too
		time.Sleep(time.Second)
		down.Store(nil)
		hangs.Store(nil)
		ids.refusal.Store(nil)
		began := time.Now()
		if err := get(t, starting); err != nil {
			t.Error(err)
		}
		if now, _ := connections(p); now < 6 {
			t.Errorf("when Start returns there are %d connections to leaders, want two to each", now)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the start took %v more when there were ids", took)
		}
		until(t, "six connections", func() bool { // one that is replaced may be ending
			now, _ := connections(p)
			return now == 6
		})
	})
}

// One of three brokers does not answer the request: the next request goes to another one.
func TestProducerIDFromAnotherBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.VirtualCluster(t, 3, kfake.SeedTopics(3, "t"))
		var hung atomic.Int32
		hung.Store(-1)
		b.Fake.ControlKey(kmsg.InitProducerID.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			node := b.Fake.CurrentNode()
			hung.CompareAndSwap(-1, node) // the first that is asked
			return nil, nil, hung.Load() == node
		})
		for range 5 { // they are asked in any order
			p := newProducer(t, b, Config{Topic: "t"})
			hung.Store(-1)
			began := time.Now()
			start(t, p)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("the start took %v", took)
			}
		}
	})
}

// A producer keeps one producer id on the same cluster, over all of its starts. Each start begins
// another epoch. On another cluster it requests another id.
func TestProducerIDIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clusters := []*testbroker.Broker{
			testbroker.Virtual(t, kfake.ClusterID("one"), kfake.SeedTopics(1, "t", "only-here")),
			testbroker.Virtual(t, kfake.ClusterID("two"), kfake.SeedTopics(1, "t")),
		}
		ids := []*idRequests{watchIDs(clusters[0]), watchIDs(clusters[1])}
		var on atomic.Int32
		p := newProducer(t, clusters[0], Config{Topic: "t", AnyTopic: true, CheckWritePermission: true,
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				return clusters[on.Load()].Dial(ctx, network, address)
			}})
		writes := func(topic string) {
			t.Helper()
			start(t, p)
			if err := p.WriteMessages(bg, kafka.Message{Topic: topic, Value: []byte("m")}); err != nil {
				t.Error(err)
			}
			if err := p.Stop(bg); err != nil {
				t.Error(err)
			}
		}
		asked := func(cluster int, want int64) {
			t.Helper()
			if n := ids[cluster].n.Load(); n != want {
				t.Errorf("cluster %d was asked %d times for a producer id, want %d", cluster, n, want)
			}
		}
		hung := hangIn(clusters[0], "permission") // the first start gets an id, and fails
		mustBe(t, p.Start(bg), context.DeadlineExceeded)
		hung.on.Store(false)
		for range 3 {
			writes("only-here")
		}
		asked(0, 1)
		records := clusters[0].Read(t, "only-here")
		for i, r := range records {
			if r.ProducerID != records[0].ProducerID || i > 0 && r.ProducerEpoch <= records[i-1].ProducerEpoch {
				t.Errorf("record %d is of producer %d, epoch %d", i, r.ProducerID, r.ProducerEpoch)
			}
		}

		on.Store(1)
		ids[1].refusal.Store(kerr.ClusterAuthorizationFailed)
		mustBe(t, p.Start(bg), ErrNoIdempotence)
		on.Store(0) // nothing has changed
		writes("only-here")
		asked(0, 1)

		on.Store(1)
		ids[1].refusal.Store(nil)
		writes("t")
		writes("t")
		asked(1, 2)
		on.Store(0)
		writes("only-here")
		asked(0, 2)
		for i, n := range []int{5, 0} {
			if found := len(clusters[0].Read(t, []string{"only-here", "t"}[i])); found != n {
				t.Errorf("%d messages found, want %d", found, n)
			}
		}
		if found := len(clusters[1].Read(t, "t")); found != 2 {
			t.Errorf("%d messages found on the other cluster, want 2", found)
		}
	})
}
