//go:build unix

package producer

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// What one broker cannot show: three nodes, three replicas, two of which must be
// in sync. Node 1 is the controller too.
func TestThreeBrokers(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the three brokers of this test take a minute")
	}
	c := testbroker.Own(t, 3)
	t.Run("LeaderMoves", func(t *testing.T) { leaderMoves(t, c) })
	t.Run("BrokerKilled", func(t *testing.T) { brokerKilled(t, c) })
	t.Run("R39BootstrapAddressGone", func(t *testing.T) { bootstrapAddressGone(t, c) })
	t.Run("BrokerFrozen", func(t *testing.T) { brokerFrozen(t, c) })
	t.Run("NotEnoughReplicas", func(t *testing.T) { notEnoughReplicas(t, c) })
	t.Run("RollingRestart", func(t *testing.T) { rollingRestart(t, c) })
}

// startOn makes and starts a producer with the defaults, on a topic of its own.
func startOn(t *testing.T, c *testbroker.OwnBroker, partitions int) (*Producer, string) {
	t.Helper()
	topic := c.CreateTopic(t, partitions)
	p := newProducer(t, c.Broker, Config{Topic: topic})
	start(t, p)
	return p, topic
}

// shutDown ends the only producer of the test, which must leave nothing behind.
func shutDown(t *testing.T, c *testbroker.OwnBroker, p *Producer) {
	t.Helper()
	if err := get(t, async(p.Close)); err != nil {
		t.Errorf("Close: %v", err)
	}
	nothingLeft(t, c.Broker, p)
}

// underLoad sends while harm is done, which must not make one write fail, nor lose
// or reorder one. It hands harm a function that waits for n more acknowledgements.
func underLoad(t *testing.T, c *testbroker.OwnBroker, what string, p *Producer, topic string, writers int, harm func(more func(n int))) {
	t.Helper()
	l := newLedger()
	ld := l.load(t, p, writers, time.Millisecond)
	end := sync.OnceFunc(ld.end)
	defer end() // also if the test gives up
	more := func(n int) {
		t.Helper()
		want := l.acknowledged() + n
		until(t, "acknowledgements", func() bool {
			if l.failure() != nil {
				t.Fatalf("a write failed: %v", l.failure())
			}
			return l.acknowledged() >= want
		})
	}
	more(100)
	harm(more)
	more(100)
	end()
	longest := l.reset()
	counts := l.verify(t, c.Broker, topic)
	if counts.failed() > 0 {
		t.Errorf("%d writes failed, one as: %v", counts.failed(), l.failure())
	}
	t.Logf("CHECKED kafka %s acknowledged=%d failed=%d duplicates=%d", what, counts.acked, counts.failed(), counts.duplicates)
	t.Logf("%s: the longest write took %v, %d batches were sent again", what, longest, p.Totals().Retries)
}

// The leaders move, by Kafka's own tools and by single requests: no write fails.
func leaderMoves(t *testing.T, c *testbroker.OwnBroker) {
	p, topic := startOn(t, c, 3)
	underLoad(t, c, "leader-moves", p, topic, 4, func(more func(int)) {
		c.Run(t, "", "lead", topic, "2")
		for partition, leader := range c.Leaders(t, topic) {
			if leader != 2 {
				t.Errorf("partition %d is led by %d, want 2", partition, leader)
			}
		}
		more(50)
		moves := 0
		for i := range int32(12) {
			if c.Lead(t, topic, i%3, 1+(i/3+2)%3) {
				moves++
			}
			more(20)
		}
		if moves < 6 {
			t.Errorf("only %d of 12 moves came about", moves)
		}
	})
	shutDown(t, c, p)
}

// A node is killed under load: no write fails, a start finds its way round it, and
// once it is back it is used again.
func brokerKilled(t *testing.T, c *testbroker.OwnBroker) {
	p, topic := startOn(t, c, 3)
	underLoad(t, c, "broker-killed", p, topic, 6, func(more func(int)) {
		c.Kill(t, 2)
		c.AwaitInSync(t, topic, 2) // the leaders have moved
		more(100)

		elsewhere := c.CreateTopic(t, 2)
		other := newProducer(t, c.Broker, Config{Topic: elsewhere})
		start(t, other)
		if err := other.WriteMessages(bg, messages("a", 4)...); err != nil {
			t.Errorf("a producer that was started with a node down: %v", err)
		}
		if err := get(t, async(other.Close)); err != nil {
			t.Errorf("Close with a node down: %v", err)
		}
		if n := len(values(t, c.Broker, elsewhere)); n != 4 {
			t.Errorf("found %d of its 4 messages", n)
		}

		c.Restart(t, 2)
		c.AwaitInSync(t, topic, 3)
		if !c.Lead(t, topic, 0, 2) {
			t.Error("the node that is back does not become a leader")
		}
	})
	shutDown(t, c, p)
}

// The only node that the producer was given is gone, under load, and leaders move after that: no
// write fails (R39).
func bootstrapAddressGone(t *testing.T, c *testbroker.OwnBroker) {
	const node = 2
	topic := c.CreateTopic(t, 3)
	p := newProducer(t, c.Broker, Config{Topic: topic, Brokers: c.Addrs[node-1 : node]})
	start(t, p)
	underLoad(t, c, "bootstrap-address-gone", p, topic, 6, func(more func(int)) {
		c.Kill(t, node)
		c.AwaitInSync(t, topic, 2)
		more(100)
		for i := range int32(6) {
			c.Lead(t, topic, i%3, 1+2*(i%2))
			more(50)
		}
		if err := p.Ping(bg); err != nil {
			t.Error(err)
		}
		c.Restart(t, node)
		c.AwaitInSync(t, topic, 3)
	})
	shutDown(t, c, p)
}

// A node hangs until the controller gives it up, and goes on: no write fails.
func brokerFrozen(t *testing.T, c *testbroker.OwnBroker) {
	p, topic := startOn(t, c, 3)
	underLoad(t, c, "broker-frozen", p, topic, 6, func(more func(int)) {
		c.Freeze(t, 3)
		thawed := false
		defer func() {
			if !thawed {
				c.Thaw(t, 3)
			}
		}()
		for leading := true; leading; {
			leading = false
			for _, leader := range c.Leaders(t, topic) {
				leading = leading || leader == 3
			}
		}
		more(100)
		c.Thaw(t, 3)
		thawed = true
		c.AwaitInSync(t, topic, 3)
	})
	shutDown(t, c, p)
}

// Two of three replicas are gone. A message that needs two is refused with that error. A caller
// that waits for longer than the outage, as by default, notices nothing.
func notEnoughReplicas(t *testing.T, c *testbroker.OwnBroker) {
	patient, topic := startOn(t, c, 1)
	hasty := newProducer(t, c.Broker, Config{Topic: topic, DeliveryTimeout: time.Second})
	start(t, hasty)
	l := newLedger()
	if err := l.write(bg, t, patient, message("before")); err != nil {
		t.Fatal(err)
	}
	c.Kill(t, 2, 3)
	began, refused := time.Now(), false
	for i := 0; !refused && time.Since(began) < hang; i++ { // the controller takes a while to notice
		err := l.write(bg, t, hasty, message(fmt.Sprint("without-", i)))
		refused = errors.Is(err, kafka.NotEnoughReplicas) && errors.Is(err, ErrRejected)
	}
	if !refused {
		t.Fatal("nothing was rejected for want of replicas")
	}
	waits := async(func() error { return l.write(bg, t, patient, message("patient")) })
	until(t, "retries", func() bool { return patient.Totals().Retries > 3 })
	c.Restart(t)
	if err := get(t, waits); err != nil {
		t.Errorf("the write that waited failed: %v", err)
	}
	c.AwaitInSync(t, topic, 3)
	after := 0
	until(t, "a write of the hasty one", func() bool { // whose second is short on a busy machine
		after++
		return l.write(bg, t, hasty, message(fmt.Sprint("after-", after))) == nil
	})
	counts := l.verify(t, c.Broker, topic)
	t.Logf("CHECKED kafka not-enough-replicas acknowledged=%d failed=%d duplicates=%d", counts.acked, counts.failed(), counts.duplicates)
	if err := get(t, async(hasty.Close)); err != nil {
		t.Errorf("Close: %v", err)
	}
	shutDown(t, c, patient)
}

// Each node in turn is shut down in good order and started again, under load,
// with the defaults: no write fails.
func rollingRestart(t *testing.T, c *testbroker.OwnBroker) {
	p, topic := startOn(t, c, 6)
	underLoad(t, c, "rolling-restart", p, topic, 8, func(more func(int)) {
		for node := 1; node <= 3; node++ {
			for partition := range int32(2) { // it leads, so that its turn is felt
				c.Lead(t, topic, partition, int32(node))
			}
			c.ShutDown(t, node)
			more(100)
			c.Restart(t, node)
			c.AwaitInSync(t, topic, 3)
		}
	})
	shutDown(t, c, p)
}
