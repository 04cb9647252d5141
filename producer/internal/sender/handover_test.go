package sender

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
)

// The leader moves while a sender has taken a partition from its list, to send it or to end: the sender of the new leader
// gets it, and is woken (D9).
func TestD9LeaderMovesUnderASender(t *testing.T) {
	for name, goesOn := range map[string]func(s *Sender, p *Partition){
		"sending": func(s *Sender, p *Partition) {
			s.ready = nil
			if bytes, _ := p.prepare(s, true); bytes != nil {
				t.Error("the sender of the old leader sends the batch")
			}
		},
		"ending": func(s *Sender, _ *Partition) { s.drop() },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &Config{Mode: core.Acknowledged, BatchSize: 10, BatchBytes: 1000, Counters: new(Counters)}
			p := NewPartition(cfg, "t", 0)
			newSender := func() *Sender {
				return &Sender{b: &Broker{cfg: cfg}, ctx: context.Background(), wake: make(chan struct{}, 1)}
			}
			before, after := newSender(), newSender()
			p.Lead(before)
			c := new(Call)
			c.Expect(1)
			if _, to, err := p.Admit(c, []kafka.Message{{Value: []byte("x")}}, []int32{-1}, 0, 1, time.Now(), func(*kafka.Message) int32 { return 1 }); to != before || err != nil {
				t.Fatalf("admitted for %v: %v", to, err)
			}
			p.sender = after // Lead, where the list does not have the partition any more
			goesOn(before, p)
			if !slices.Contains(after.ready, p) || len(after.wake) != 1 {
				t.Errorf("D9 Survives is broken: the new leader's sender has %d partitions, and was woken %d times", len(after.ready), len(after.wake))
			}
		})
	}
}
