//go:build unix

package producer

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// On KRaft, a broker answers that a topic does not exist while it creates it. The first write of
// every caller waits for the topic; so does a Start. Nothing is lost, and all is in order.
func TestR41AutoCreatedOnApacheKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the broker of this test takes some seconds to start")
	}
	b := testbroker.Own(t, 1, "auto.create.topics.enable=true", "num.partitions=3")
	for round := range 5 {
		written, declared := testbroker.TopicName(), testbroker.TopicName()
		l := newLedger()
		p := newProducer(t, b.Broker, Config{Topic: declared, AnyTopic: true, AllowAutoTopicCreation: true})
		start(t, p)
		var wg sync.WaitGroup
		began := time.Now()
		for w := range 20 {
			wg.Go(func() {
				for i := range 5 {
					m := kafka.Message{Topic: []string{written, declared}[w%2], Value: fmt.Appendf(nil, "%d-%d", w, i)}
					if w%4 < 2 {
						m.Key = fmt.Append(nil, w)
					}
					if err := l.write(bg, t, p, m); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		t.Logf("round %d: the first writes took %v", round, time.Since(began))
		if err := p.Stop(bg); err != nil {
			t.Error(err)
		}
		if c := l.verify(t, b.Broker, written, declared); c.acked != 100 {
			t.Errorf("%v", c)
		}
	}
	// A topic that no request names is not created.
	p := newProducer(t, b.Broker, Config{AnyTopic: true})
	start(t, p)
	name := testbroker.TopicName()
	mustBe(t, p.WriteMessages(bg, kafka.Message{Topic: name}), ErrNotSent, kafka.UnknownTopicOrPartition)
	time.Sleep(time.Second)
	mustBe(t, newProducer(t, b.Broker, Config{Topic: name}).Start(bg), kafka.UnknownTopicOrPartition)
}
