//go:build unix

package trace

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// Three brokers of Apache Kafka with three replicas: lives in every mode in which leaders move, and
// one in which a leader loses what it alone has acknowledged.
func TestTracesOnReplicas(t *testing.T) {
	needsRoom(t)
	if testing.Short() {
		t.Skip("-short: not on Apache Kafka")
	}
	c := testbroker.Own(t, 3)
	var s sums
	move := func(topic string, partition int32) bool {
		return c.Lead(t, topic, partition, c.Leaders(t, topic)[partition]%3+1)
	}
	each(t, 7, 4, func(t *testing.T, seed uint64) bool {
		return s.check(t, lifeOnKafka(t, c.Broker, seed, model.Capacity, move))
	})
	for _, m := range Modes {
		if y := s.of[m]; !t.Failed() && (y == nil || y.moves == 0) {
			t.Errorf("%s: no leader was changed: %v", m.Name, y)
		}
	}
	lost := leaderLoses(t, c)
	if s.check(t, lost); s.of[One] == nil || s.of[One].classes[showsLostAck] == 0 {
		t.Errorf("the leader has lost nothing: %v", s.of[One])
	}
	for _, corrupted := range lost.Corruptions(rand.New(rand.NewPCG(*from, 3))) {
		if _, err := corrupted.Check(); err == nil {
			t.Errorf("accepted: %s", corrupted.Name)
		}
	}
	var j secondJudge
	j.add(lost, *from)
	j.ask(t, "replicas")
	lost.Leader = Kafka // which loses nothing
	if _, err := lost.Check(); err == nil {
		t.Error("what was lost is accepted without a change of leader")
	}
	s.report(t, "replicas")
}

// leaderLoses writes while both followers stand still, kills the leader, and writes again.
func leaderLoses(t *testing.T, c *testbroker.OwnBroker) *Trace {
	const leader = 2
	topic := c.CreateTopic(t, 1)
	if !c.Lead(t, topic, 0, leader) {
		t.Fatal("the leader is another one")
	}
	r := begin(t, c.Broker, topic, *from, One, core.Limits{}, func(cfg *producer.Config) {
		cfg.DialTimeout, cfg.DeliveryTimeout = 30*time.Second, 2*time.Minute
	})
	r.trace.Leader = Replicas
	write := func() {
		for range 8 {
			r.write(context.Background(), 1, 1, 10)
		}
	}
	write()
	c.Freeze(t, 1, 3)
	write()
	c.Kill(t, leader)
	c.Thaw(t, 1, 3)
	r.trace.Moves++
	write()
	c.Restart(t, leader)
	c.AwaitInSync(t, topic, 3)
	return r.finish("a life on Apache Kafka, whose leader loses what it has", 1)
}
