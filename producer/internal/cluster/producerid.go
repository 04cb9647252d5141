package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

// ErrNoIdempotence is why a producer cannot be idempotent on this cluster: it is not allowed
// to be, or the brokers cannot. It wraps the broker's kafka.Error.
var ErrNoIdempotence = errors.New("no producer id for idempotent writes (see Config.Idempotence)")

// InitProducerID asks any broker for a new producer id. It waits while the cluster cannot
// give one yet, until ctx ends; then the error is its cause and the latest answer.
//
// An error that is final wraps ErrNoIdempotence: the broker has no such request, or refuses
// it to this user.
func (c *Cluster) InitProducerID(ctx context.Context) (id int64, epoch int16, err error) {
	var last error
	for pause := firstMissing / 4; ; pause = min(2*pause, longMissing/5) {
		res, err := c.Ask(ctx, &initproducerid.Request{ProducerID: -1, ProducerEpoch: -1})
		switch {
		case ctx.Err() != nil:
			return 0, 0, because(context.Cause(ctx), last)
		case errors.Is(err, kafka.UnsupportedVersion):
			return 0, 0, fmt.Errorf("%w: %w", ErrNoIdempotence, err)
		case err != nil:
			return 0, 0, err
		}
		r := res.(*initproducerid.Response)
		switch code := kafka.Error(r.ErrorCode); {
		case code == 0 && r.ProducerID >= 0 && r.ProducerEpoch >= 0:
			return r.ProducerID, r.ProducerEpoch, nil
		case code == 0:
			return 0, 0, fmt.Errorf("a broker gave out the producer id %d, epoch %d", r.ProducerID, r.ProducerEpoch)
		case code == kafka.GroupLoadInProgress, code == kafka.GroupCoordinatorNotAvailable, code == kafka.NotCoordinatorForGroup,
			code == kafka.ConcurrentTransactions, code == kafka.RequestTimedOut, code == kafka.KafkaStorageError, code == kafka.Unknown:
			last = code
		default:
			return 0, 0, fmt.Errorf("%w: %w", ErrNoIdempotence, code)
		}
		if err := c.sleep(ctx, pause); err != nil {
			return 0, 0, because(err, last)
		}
	}
}
