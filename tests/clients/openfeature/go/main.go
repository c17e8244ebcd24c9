// Ask a sidecar through OpenFeature: the URL and a file of questions in, a list of answers as JSON out.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
)

type question struct {
	Key     string
	Type    string
	Default any
	Context map[string]any
}

type answer struct {
	Value    any            `json:"value"`
	Reason   string         `json:"reason"`
	Code     *string        `json:"code"`
	Metadata map[string]any `json:"metadata"`
}

func main() {
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	var questions []question
	if err := json.Unmarshal(text, &questions); err != nil {
		panic(err)
	}
	if err := openfeature.SetProviderAndWait(ofrep.NewProvider(os.Args[1])); err != nil {
		panic(err)
	}
	client, ctx := openfeature.NewClient("test"), context.Background()
	answers := []answer{}
	for _, it := range questions {
		key, _ := it.Context["targetingKey"].(string)
		delete(it.Context, "targetingKey")
		about := openfeature.NewEvaluationContext(key, it.Context)
		var value any
		var details openfeature.EvaluationDetails
		switch it.Type { // the error is in the details, too
		case "boolean":
			found, _ := client.BooleanValueDetails(ctx, it.Key, it.Default.(bool), about)
			value, details = found.Value, found.EvaluationDetails
		case "integer":
			found, _ := client.IntValueDetails(ctx, it.Key, int64(it.Default.(float64)), about)
			value, details = found.Value, found.EvaluationDetails
		case "float":
			found, _ := client.FloatValueDetails(ctx, it.Key, it.Default.(float64), about)
			value, details = found.Value, found.EvaluationDetails
		default:
			found, _ := client.StringValueDetails(ctx, it.Key, it.Default.(string), about)
			value, details = found.Value, found.EvaluationDetails
		}
		given := answer{Value: value, Reason: string(details.Reason), Metadata: details.FlagMetadata}
		if details.ErrorCode != "" {
			code := string(details.ErrorCode)
			given.Code = &code
		}
		answers = append(answers, given)
	}
	told, err := json.Marshal(answers)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(told))
}
