package producer

import (
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
)

// The table of codes here and that of the core say the same of each code, except for these: the core tries an unknown
// error again, since an idempotent batch may be sent twice, and it has sequence numbers, which this producer has not.
func TestCodesAreTheCores(t *testing.T) {
	differ := map[kafka.Error]bool{
		kafka.Unknown:                  true,                                                                  // final here
		kafka.OutOfOrderSequenceNumber: true, kafka.InvalidProducerEpoch: true, kafka.UnknownProducerId: true, // final here
		kafka.DuplicateSequenceNumber: true, // ambiguous here
		0:                             true, // no code here
	}
	for _, row := range core.Codes() {
		c, ok := codes[row.Code]
		same := ok
		switch row.Answer {
		case core.Unsure:
			same = same && !c.before && c.again
		case core.Retry:
			same = same && c.before && c.again && !c.parts
		case core.Refused:
			same = same && c.before && !c.again && !c.parts
		case core.Large, core.Invalid:
			same = same && c.before && !c.again && c.parts
		default:
			same = false
		}
		if same == differ[row.Code] {
			t.Errorf("%d is %v in the core and %+v here", row.Code, row.Answer, c)
		}
	}
	for e := range codes {
		if core.AnswerOf(e) == core.Final {
			t.Errorf("%d is in one table only", e)
		}
	}
}
