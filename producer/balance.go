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

// partitions are the first n, for a balancer, which must not change them.
func (b *ids) partitions(n int) []int {
	all := b.Load()
	if all == nil || len(*all) < n {
		more := make([]int, n)
		for i := range more {
			more[i] = i
		}
		b.Store(&more)
		all = &more
	}
	return (*all)[:n:n]
}

type ids struct{ atomic.Pointer[[]int] }
