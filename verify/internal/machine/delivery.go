package machine

// Delivery is the machine that decides what becomes of a message: tla/Delivery.tla and
// tla/Partition.tla, package core, and the model in package spec/delivery.
var Delivery = &Machine{
	Name: "delivery",
	Guarantees: []Guarantee{
		{"D1", "OneVerdict", "A message that was admitted gets exactly one verdict, which never changes; when a Stop has returned, all are decided"},
		{"D2", "Truth", "Delivered: it is in the log. ErrNotSent and ErrRejected: it is not, and never will be. ErrMaybeDelivered: only when that is not known"},
		{"D3", "Once", "With idempotence a message is in the log at most once"},
		{"D4", "Order", "With idempotence the log has the messages in the order in which they were admitted"},
		{"D5", "Withdrawn", "What no request can have appended is withdrawn, and does not come later"},
		{"D6", "Deadline", "Every message has its verdict once its deadline has passed, whatever brokers and the network do"},
		{"D7", "Drains", "A Stop sends what is queued, and waits for the verdicts and for nothing else"},
		{"D8", "Bounded", "Bytes in flight, connections, requests and answers are bounded, whatever a broker answers"},
		{"D9", "Survives", "As long as one broker that was ever learnt can be reached, the producer goes on; what is not Kafka is an error that says so"},
	},
	Packages: []Package{
		{"internal/core", []Layer{core, TestsOf("internal/core"), lives}, []Layer{ofCore, core, lives}},
		{"spec/delivery", []Layer{core}, nil},
		{"producer/internal/batch", []Layer{TestsOf("producer/internal/batch"), ofEngine}, nil},
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
	traces   = Layer{Name: "traces", Dir: "verify/internal/delivery/trace", Args: []string{"-test.run=^TestTracesOnKfake", "-test.failfast", "-traces.lives=440"}, Tags: "traces"}
	ofEngine = TestsOf("producer/internal/engine")
	lives    = Layer{Name: "lives", Dir: "internal/core", Args: []string{"-test.run=^TestRandomLives$", "-rapid.shrinktime=0s"}}
)
