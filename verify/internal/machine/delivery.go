package machine

// Delivery is the machine that decides what becomes of a message: tla/Delivery.tla and
// tla/Partition.tla, package core, and the model in package spec/delivery.
var Delivery = &Machine{
	Name: "delivery",
	Guarantees: []Guarantee{
		{"D1", "OneVerdict", "Every admitted message gets exactly one verdict, and the verdict never changes. When the producer has stopped, every message has its verdict."},
		{"D2", "Truth", "Delivered: the message is in the log (with AcksAll, the default). ErrNotSent and ErrRejected: it is not, and never will be. ErrMaybeDelivered: the producer had started to write a request that carries the message, and the outcome is not known."},
		{"D3", "Once", "With AcksAll and idempotence, the defaults, a message is in the log at most once, no matter which answers are lost and which requests are sent again, also across a forced stop and the next start."},
		{"D4", "Order", "With AcksAll and idempotence, a partition has the messages of one Producer in the order of their admission. No older message lands behind a newer one."},
		{"D5", "Withdrawn", "A message that cannot have reached the log is withdrawn when its caller leaves, its deadline passes or a stop is forced. It never reaches the log afterwards."},
		{"D6", "Deadline", "Every message has its verdict within DeliveryTimeout of the start of its call."},
		{"D7", "Drains", "A Stop sends at once what lingers. It waits for the verdicts, for Completion, and until the connections are closed."},
		{"D8", "Bounded", "Bytes in flight, connections, goroutines, requests and answers have bounds."},
		{"D9", "Survives", "While the producer can reach one of its configured brokers, or of the last 256 that it learnt, it finds the cluster again. If something other than Kafka answers, the error names the protocol that it seems to speak."},
	},
	Packages: []Package{
		{"internal/core", []Layer{core, TestsOf("internal/core"), lives}, []Layer{ofCore, core, lives}},
		{"spec/delivery", []Layer{core}, nil},
		{"producer/internal/batch", []Layer{TestsOf("producer/internal/batch"), ofEngine}, []Layer{ofBatch}},
		{"producer/internal/cluster", []Layer{TestsOf("producer/internal/cluster"), ofEngine}, nil},
		{"producer/internal/connection", []Layer{TestsOf("producer/internal/connection"), ofEngine}, nil},
		{"producer/internal/sender", []Layer{ofEngine, traces}, nil},
		{"producer/internal", []Layer{ofEngine}, nil},
		{"producer", []Layer{TestsOf("producer")}, nil}, // the last: PackageOf takes the first whose directory fits
	},
	Specification: Specification{
		Dir: "tla", Manifest: "delivery.json", Module: "DeliveryMC", Guards: "Partition", Weak: "DeliveryWeak", Reach: "DeliveryReach",
		ReachIn: []string{
			"DeliveryReach.cfg", "DeliveryReachFurther.cfg", "DeliveryReachMove.cfg", "DeliveryReachIDs.cfg", "DeliveryReachFenced.cfg",
			"DeliveryReachBehind.cfg",
		},
		Properties: []string{
			"TypeOK", "Deadlock", "OneVerdict", "Truth", "TruthWhenDecided", "Once", "Order", "Withdrawn",
			"Deadline", "DrainsAtOnce", "DrainsByDeadline", "DrainsAlone", "EpochsSettle", "KeepsContractStep",
		},
		Invariants: []string{"TypeOK", "Truth", "Once", "Order", "EpochsSettle"},
		Fairness:   map[string]string{"Deadline": "Spec", "DrainsAtOnce": "ServiceSpec", "DrainsByDeadline": "Spec"},
		Second: Second{
			Quick:      []string{"delivery-contract", "delivery-contract-one", "delivery-fenced"},
			Long:       []string{"delivery-quick", "delivery-none", "delivery-quick-live", "delivery-quick-drain"},
			Unread:     "KeepsContract", // an INSTANCE for each partition, inside of a box
			Terminated: "Terminated",
			Cannot: []Unparsed{
				{"DeliveryMC", "DeliveryQuick.cfg", "`KeepsContractStep` is defined, but its definition did not parse"},
			},
		},
	},
	AgainstModel:    []string{"core", "traces"},
	AgainstContract: []string{"lives"},
}

var (
	core     = Layer{Name: "core", Dir: "verify/internal/delivery/partition", Args: []string{"-test.run=^TestCore", "-test.failfast"}}
	ofCore   = Layer{Name: "tests", Dir: "internal/core", Args: []string{"-test.short", "-test.skip=^TestRandomLives$"}}
	ofBatch  = Layer{Name: "tests", Dir: "producer/internal/batch"}
	traces   = Layer{Name: "traces", Dir: "verify/internal/delivery/trace", Args: []string{"-test.run=^TestTracesOnKfake", "-test.failfast", "-traces.lives=440"}, Tags: "traces"}
	ofEngine = TestsOf("producer/internal/engine")
	lives    = Layer{Name: "lives", Dir: "internal/core", Args: []string{"-test.run=^TestRandomLives$", "-rapid.shrinktime=0s"}}
)
