package connection

import (
	"sync"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"

	"github.com/seed3893aba4/surestart/producer/internal/shape"
)

// answers are the messages that RoundTrip decodes.
var answers = []protocol.Message{
	new(apiversions.Response), new(saslhandshake.Response), new(saslauthenticate.Response),
	new(metadata.Response), new(listoffsets.Response), new(initproducerid.Response),
}

// shapes are the shapes of the answers to every request that RoundTrip sends. None has flexible
// fields.
var shapes = sync.OnceValue(func() map[shape.Version]shape.Shape {
	all := make(map[shape.Version]shape.Shape)
	for _, m := range answers {
		for v := spoken[m.ApiKey()].lowest; v <= spoken[m.ApiKey()].highest; v++ {
			all[shape.Version{Key: m.ApiKey(), Number: v}] = shape.Of(m, v)
		}
	}
	return all
})
