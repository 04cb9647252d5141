//go:build unix

package engine

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Three Apache Kafka brokers, three replicas, two of which must be in sync: leaders move,
// one is killed, one hangs, each is restarted, and answers are lost all the while. No write
// fails, and the log has every message once, in order.
func TestApacheKafkaCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the three brokers of this test take a minute")
	}
	c := testbroker.Own(t, 3)
	topic := c.CreateTopic(t, 6)
	bad := new(badNetwork)
	cfg := config(c.Broker, topic)
	cfg.Connection.Dial = bad.Dial
	cfg.DeliveryTimeout = 2 * time.Minute
	cfg.WriteTimeout = 5 * time.Second
	e := start(t, cfg)
	bad.losses.Store(20)
	bad.cuts.Store(5)
	l := newLedger()
	over := make(chan struct{})
	var wg sync.WaitGroup
	longest := make([]time.Duration, 12)
	for w := range 12 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(rand.N(3 * time.Millisecond)):
				}
				began := time.Now()
				if err := l.write(context.Background(), t, e, w, 1+rand.IntN(10)); err != nil {
					t.Errorf("a write failed: %v", err)
				}
				longest[w] = max(longest[w], time.Since(began))
			}
		})
	}
	more := func() {
		t.Helper()
		l.mu.Lock()
		want := l.counts[core.Delivered] + 300
		l.mu.Unlock()
		deadline := time.Now().Add(time.Minute)
		for {
			l.mu.Lock()
			have := l.counts[core.Delivered]
			l.mu.Unlock()
			if have >= want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("no write gets through")
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	more()
	for i := range int32(12) {
		c.Lead(t, topic, i%6, 1+(i/3+2)%3)
		more()
	}
	c.Kill(t, 2)
	c.AwaitInSync(t, topic, 2)
	more()
	c.Restart(t, 2)
	c.AwaitInSync(t, topic, 3)
	more()
	c.Freeze(t, 3)
	for leading := true; leading; {
		leading = false
		for _, leader := range c.Leaders(t, topic) {
			leading = leading || leader == 3
		}
	}
	more()
	c.Thaw(t, 3)
	c.AwaitInSync(t, topic, 3)
	for node := 1; node <= 3; node++ {
		c.ShutDown(t, node)
		more()
		c.Restart(t, node)
		c.AwaitInSync(t, topic, 3)
	}
	more()
	close(over)
	wg.Wait()
	bad.losses.Store(0)
	bad.cuts.Store(0)
	l.judge(t, c.Broker, topic)
	worst := time.Duration(0)
	for _, d := range longest {
		worst = max(worst, d)
	}
	t.Logf("%d requests cut, %d answers lost, %d connections; the longest write took %v", bad.wasCut.Load(), bad.lost.Load(), bad.connections.Load(), worst)
}
