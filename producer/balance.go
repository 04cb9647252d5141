package producer

import (
	"sync/atomic"

	"github.com/segmentio/kafka-go"
)

// javaBalancer is the default: a message with a key goes where the Java client
// puts it, the others are dealt out in turn. kafka-go's own default deals out
// those with a key too, so that the order of a key is lost.
type javaBalancer struct {
	keyed kafka.Murmur2Balancer
	next  atomic.Uint32
}

func (b *javaBalancer) Balance(m kafka.Message, partitions ...int) int {
	if m.Key == nil {
		return partitions[int((b.next.Add(1)-1)%uint32(len(partitions)))]
	}
	return b.keyed.Balance(m, partitions...)
}

// noted calls the user's balancer with the message as the user made it, and notes
// the partition that it chose.
type noted struct {
	kafka.Balancer
	s *session
}

func (b noted) Balance(m kafka.Message, partitions ...int) int {
	slot := m.WriterData.(*slot)
	m.WriterData = slot.data
	slot.partition = b.Balancer.Balance(m, partitions...)
	b.s.charge(slot.call, m.Topic, slot.partition)
	return slot.partition
}
