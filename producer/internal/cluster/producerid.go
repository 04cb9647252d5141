package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

// ErrNoIdempotence reports that the user has no permission for a producer id, or that the brokers
// have none to give. It stands beside the broker's kafka.Error.
var ErrNoIdempotence = errors.New("no producer id for idempotent writes (see Config.Idempotence)")

// InitProducerID asks any broker for a new producer id. While the cluster cannot give one yet, it
// waits, until ctx or the Cluster ends; the error then is the cause and the latest answer.
//
// A final error wraps ErrNoIdempotence: the broker lacks the request, or refuses it to this user.
func (c *Cluster) InitProducerID(ctx context.Context) (id int64, epoch int16, err error) {
	var last error
	for pause := firstMissing / 4; ; pause = min(2*pause, longMissing/5) {
		res, from, err := c.Ask(ctx, &initproducerid.Request{ProducerID: -1, ProducerEpoch: -1})
		switch {
		case err == nil:
		case ctx.Err() != nil || c.ctx.Err() != nil:
			return 0, 0, because(err, last)
		case errors.Is(err, kafka.UnsupportedVersion):
			return 0, 0, fmt.Errorf("%w: %w", ErrNoIdempotence, err)
		default:
			return 0, 0, err
		}
		r := res.(*initproducerid.Response)
		switch code := kafka.Error(r.ErrorCode); {
		case code == 0 && r.ProducerID >= 0 && r.ProducerEpoch >= 0:
			return r.ProducerID, r.ProducerEpoch, nil
		case code == 0:
			return 0, 0, fmt.Errorf("%s gave out the producer id %d, epoch %d", from, r.ProducerID, r.ProducerEpoch)
		case code == kafka.GroupLoadInProgress, code == kafka.GroupCoordinatorNotAvailable, code == kafka.NotCoordinatorForGroup,
			code == kafka.ConcurrentTransactions, code == kafka.RequestTimedOut, code == kafka.KafkaStorageError, code == kafka.Unknown:
			last = fmt.Errorf("ask %s: %w", from, code)
		case code == kafka.ClusterAuthorizationFailed:
			return 0, 0, fmt.Errorf("%w: ask %s: %w: the user needs WRITE on a topic, or IDEMPOTENT_WRITE on the cluster; before Kafka 3.0 the latter",
				ErrNoIdempotence, from, code)
		default:
			return 0, 0, fmt.Errorf("%w: ask %s: %w", ErrNoIdempotence, from, code)
		}
		if err := c.sleep(ctx, pause); err != nil {
			return 0, 0, because(err, last)
		}
	}
}
