package producer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// What was withdrawn never comes, also when its batch is sent after that (D5): of a write whose
// caller left, and of a Send whose DeliveryTimeout passed; queued, or in a batch that was refused
// and waits for its next attempt. Offsets and sequences of the others stay consecutive.
func TestWithdrawnNeverComes(t *testing.T) {
	for _, refused := range []bool{false, true} {
		for _, sent := range []bool{false, true} {
			name := map[bool]string{false: "Queued", true: "RefusedForNow"}[refused] + map[bool]string{false: "/WriteMessages", true: "/Send"}[sent]
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := testbroker.Virtual(t)
					topic := b.CreateTopic(t, 1)
					l := newLedger()
					p := newProducer(t, b, Config{Topic: topic, WriteTimeout: time.Hour, Completion: l.completion(), Logger: slog.New(slog.DiscardHandler)})
					start(t, p)
					// The broker holds the first request, and then refuses what comes.
					gate := make(chan struct{})
					var requests atomic.Int32
					var refusing atomic.Bool
					refusing.Store(refused)
					b.Fake.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
						b.Fake.KeepControl()
						switch n := requests.Add(1); {
						case n == 1:
							b.Fake.SleepControl(func() { <-gate })
						case refusing.Load():
							return produceAnswer(req, kerr.NotEnoughReplicas, 0), nil, true
						}
						return nil, nil, false
					})
					var wg sync.WaitGroup
					began := time.Now()
					first := async(func() error { return l.write(bg, t, p, message("first")) })
					time.Sleep(time.Second)
					// One batch of three calls, the second of which is withdrawn.
					ctx, leave := context.WithTimeout(bg, 19*time.Second)
					defer leave()
					want, deadline := ErrNotSent, 20*time.Second
					if refused {
						want = ErrRejected // a broker refused it last, for now
					}
					second := func() {
						if sent {
							deadline = 31 * time.Second
							l.send(bg, t, p, &wg, messages("withdrawn", 3)...)
						} else {
							wg.Go(func() { l.write(ctx, t, p, messages("withdrawn", 3)...) })
						}
						synctest.Wait()
					}
					var before, behind <-chan error
					if sent { // the others have the time that it has no more
						second()
						time.Sleep(10 * time.Second)
					} else {
						before = async(func() error { return l.write(bg, t, p, messages("before", 2)...) })
						synctest.Wait()
						second()
					}
					behind = async(func() error { return l.write(bg, t, p, messages("behind", 2)...) })
					time.Sleep(2 * time.Second)
					if refused {
						close(gate)
						if err := get(t, first); err != nil {
							t.Error(err)
						}
					}
					time.Sleep(deadline - time.Since(began) - time.Millisecond)
					if l.has("withdrawn-0") {
						t.Error("it has its verdict too early: the test shows nothing")
					}
					time.Sleep(time.Millisecond)
					synctest.Wait()
					if !l.has("withdrawn-0") {
						t.Error("it has no verdict")
					}
					wg.Wait()
					if class := classOf(t, l.told["withdrawn-2"]); class != want {
						t.Errorf("%v, want %v", l.told["withdrawn-2"], want)
					}
					if refused {
						if n := requests.Load(); n < 4 {
							t.Errorf("%d requests: the test shows nothing", n)
						}
						refusing.Store(false)
					} else {
						close(gate)
						if err := get(t, first); err != nil && classOf(t, err) != ErrMaybeDelivered { // its time is up, too
							t.Error(err)
						}
					}
					for _, write := range []<-chan error{before, behind} {
						if write == nil {
							continue
						}
						if err := get(t, write); err != nil {
							t.Error(err)
						}
					}
					if err := l.write(bg, t, p, message("next")); err != nil {
						t.Error(err)
					}
					if err := p.Stop(bg); err != nil {
						t.Error(err)
					}
					l.verify(t, b, topic)
					for i, r := range b.Read(t, topic) {
						if r.Offset != int64(i) {
							t.Errorf("%s is at offset %d, want %d", r.Value, r.Offset, i)
						}
					}
					if c := p.Counters(); c.LostByCluster != 0 || c.Epochs != 1 {
						t.Errorf("%+v: the sequences were not consecutive", c)
					}
				})
			})
		}
	}
}

// produceAnswer answers each partition of a produce request with an error, or nil, and a throttle
// time.
func produceAnswer(req kmsg.Request, answer *kerr.Error, throttle time.Duration) *kmsg.ProduceResponse {
	res := req.ResponseKind().(*kmsg.ProduceResponse)
	res.ThrottleMillis = int32(throttle.Milliseconds())
	for _, rt := range req.(*kmsg.ProduceRequest).Topics {
		t := kmsg.ProduceResponseTopic{Topic: rt.Topic}
		for _, rp := range rt.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition = rp.Partition
			if answer != nil {
				p.ErrorCode = answer.Code
			}
			t.Partitions = append(t.Partitions, p)
		}
		res.Topics = append(res.Topics, t)
	}
	return res
}
