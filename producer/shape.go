package producer

import (
	"sync"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"

	"github.com/seed3893aba4/surestart/producer/internal/shape"
)

// shapes are those of the answers to what a producer asks, in each version that kafka-go
// asks it in. None of these versions is of the protocol's flexible kind.
var shapes = sync.OnceValue(func() map[shape.Version]shape.Shape {
	all := make(map[shape.Version]shape.Shape)
	for _, m := range []protocol.Message{
		new(apiversions.Response), new(saslhandshake.Response), new(saslauthenticate.Response),
		new(metadata.Response), new(listoffsets.Response), new(produce.Response),
	} {
		key := m.ApiKey()
		for v := key.MinVersion(); v <= key.MaxVersion(); v++ {
			all[shape.Version{Key: key, Number: v}] = shape.Of(m, v)
		}
	}
	return all
})
