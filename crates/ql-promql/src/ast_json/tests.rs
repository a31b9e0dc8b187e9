use crate::parser::{ParserOptions, parse_expr};

#[test]
fn trees_become_json() {
    for (query, expected) in [
        ("1.5", r#"{"type":"numberLiteral","val":"1.5"}"#),
        (r#""a<b""#, r#"{"type":"stringLiteral","val":"a\u003cb"}"#),
        (
            r#"x{a!="\n<"} offset 5m @ 1"#,
            r#"{"anchored":false,"matchers":[{"name":"a","type":"!=","value":"\n\u003c"},{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":300000,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":1000,"type":"vectorSelector"}"#,
        ),
        (
            "x[step()*2] @ end()",
            r#"{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"x"}],"name":"x","offset":0,"offsetExpr":null,"range":0,"rangeExpr":{"lhs":{"lhs":null,"op":"step","rhs":null,"type":"durationExpr","wrapped":false},"op":"*","rhs":{"duration":false,"type":"numberLiteral","val":"2"},"type":"durationExpr","wrapped":false},"smoothed":false,"startOrEnd":"end","timestamp":null,"type":"matrixSelector"}"#,
        ),
        (
            "sum by (a) (vector(1))",
            r#"{"expr":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"grouping":["a"],"op":"sum","param":null,"type":"aggregation","without":false}"#,
        ),
        (
            "vector(1) < on (a) group_left fill_left (0.5) vector(1)",
            r#"{"bool":false,"lhs":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"matching":{"card":"many-to-one","fillValues":{"lhs":0.5,"rhs":null},"include":[],"labels":["a"],"on":true},"op":"\u003c","rhs":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"type":"binaryExpr"}"#,
        ),
        (
            "(-vector(1))[1h:] offset -1m",
            r#"{"expr":{"expr":{"expr":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"op":"-","type":"unaryExpr"},"type":"parenExpr"},"offset":-60000,"offsetExpr":null,"range":3600000,"rangeExpr":null,"startOrEnd":null,"step":0,"stepExpr":null,"timestamp":null,"type":"subquery"}"#,
        ),
    ] {
        let found = parse_expr(query, &ParserOptions::all()).map(|e| super::to_json(&e)).unwrap_or_default();
        assert_eq!(found, expected, "{query}");
    }
}
