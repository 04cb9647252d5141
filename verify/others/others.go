// Package others measures which guarantees of a lifecycle other libraries keep, and the patterns
// that programs use instead of one. It has adapters to the hooks of package conformance. It is a
// module of its own, so that these libraries stay out of the root's go.mod.
package others

import (
	"context"

	"github.com/seed3893aba4/surestart/conformance"
)

// other is a library, or a pattern used instead of one, to be measured.
type other struct {
	name    string
	version string // "" where it is the standard library, or a pattern
	new     func(*conformance.Hooks) conformance.Lifecycle
	offers  conformance.Capability
	parts   int
}

// anyway are capabilities that a second run declares, whatever the documents offer. Its findings
// are marked.
const anyway = conformance.Idempotent | conformance.JoinsStarts | conformance.JoinsStops | conformance.Restarts | conformance.Retries |
	conformance.StopsStarts | conformance.HonoursContext | conformance.HonoursStopContext | conformance.CancelsOpen |
	conformance.KeepsCause

// calls is a lifecycle made of two functions.
type calls struct {
	start, stop func(context.Context) error
}

func (c *calls) Start(ctx context.Context) error { return c.start(ctx) }
func (c *calls) Stop(ctx context.Context) error  { return c.stop(ctx) }

const (
	idempotent  = conformance.Idempotent
	errors_     = conformance.ErrorsOnRepeat
	joins       = conformance.JoinsStarts
	joinsStops  = conformance.JoinsStops
	restarts    = conformance.Restarts
	retries     = conformance.Retries
	stops       = conformance.StopsStarts
	honours     = conformance.HonoursContext
	honoursStop = conformance.HonoursStopContext
	cancels     = conformance.CancelsOpen
	cause       = conformance.KeepsCause
)

var all = []other{
	{name: "surestart", new: newSurestart, offers: conformance.Everything, parts: 2},
	{name: "sync.Once", new: newOnce, offers: idempotent | joins | joinsStops | stops | cause},
	{name: "mutex and flag", new: newMutex, offers: idempotent | joins | joinsStops | restarts | retries | stops | cause},
	{name: "singleflight", version: "golang.org/x/sync", new: newSingleflight, offers: idempotent | joins | restarts | retries | cause},
	{name: "errgroup style", version: "golang.org/x/sync", new: newErrgroup, offers: restarts | retries | honours | cause},
	{name: "CometBFT BaseService", version: "github.com/cometbft/cometbft", new: newComet, offers: errors_ | retries | joins | joinsStops | cause},
	{name: "dskit services", version: "github.com/grafana/dskit", new: newDskit, offers: errors_ | joinsStops | stops | honours | honoursStop | cancels | cause},
	{name: "suture", version: "github.com/thejerf/suture/v4", new: newSuture, offers: stops | restarts},
	{name: "uber/fx", version: "go.uber.org/fx", new: newFx, offers: errors_ | honours | honoursStop | restarts | retries | cause, parts: 2},
	{name: "looplab/fsm", version: "github.com/looplab/fsm", new: newLooplab, offers: errors_ | joins | joinsStops | restarts | retries | cause},
	{name: "sarama Broker", version: "github.com/IBM/sarama", new: newSarama, offers: errors_ | joins | joinsStops | restarts | retries | cause},
	{name: "kafka-go Dialer, Conn", version: "github.com/segmentio/kafka-go", new: newKafkaGo, offers: restarts | retries | cause},
	{name: "aiokafka 0.14.0", version: "port of start and stop", new: newAiokafka, offers: stops | cause, parts: 2},
	{name: "aiokafka PR 1143", version: "port, at 2f8cf581", new: newPR1143, offers: idempotent | joins | retries | stops | cause, parts: 2},
}
