package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

func TestInitProducerID(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		seen := make(map[int64]bool)
		for range 3 {
			id, epoch, err := c.InitProducerID(t.Context())
			if err != nil || seen[id] || epoch != 0 {
				t.Errorf("id %d, epoch %d, %v", id, epoch, err)
			}
			seen[id] = true
		}
	})
}

func refuse(b *testbroker.Broker, err *kerr.Error, n int) {
	b.Fake.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Fake.KeepControl()
		if n--; n < 0 {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		res.ErrorCode = err.Code
		return res, nil, true
	})
}

// A cluster that cannot give out ids yet is waited for.
func TestInitProducerIDNotYet(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		refuse(b, kerr.CoordinatorLoadInProgress, 5)
		if _, _, err := c.InitProducerID(t.Context()); err != nil {
			t.Error(err)
		}
		refuse(b, kerr.CoordinatorLoadInProgress, 1<<30)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, _, err := c.InitProducerID(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, kafka.GroupLoadInProgress) || errors.Is(err, ErrNoIdempotence) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A refusal is final, and so is a broker without the request.
func TestInitProducerIDRefused(t *testing.T) {
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		refuse(b, kerr.ClusterAuthorizationFailed, 1)
		if _, _, err := c.InitProducerID(t.Context()); !errors.Is(err, ErrNoIdempotence) || !errors.Is(err, kafka.ClusterAuthorizationFailed) {
			t.Error(err)
		}
	})
	old := kversion.V2_1_0()
	old.SetMaxKeyVersion(kmsg.InitProducerID.Int16(), -1)
	bubble(t, 1, func(t *testing.T, b *testbroker.Broker) {
		c := openOn(t, b, Config{})
		if _, _, err := c.InitProducerID(t.Context()); !errors.Is(err, ErrNoIdempotence) || !errors.Is(err, kafka.UnsupportedVersion) {
			t.Error(err)
		}
	}, kfake.MaxVersions(old))
}
