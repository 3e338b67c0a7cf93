//! The messages of the protocol, by field number: what is asked, and what is answered.
//!
//! Questions are the same structs whether they came as Protobuf or as JSON ([`super::protojson`] fills them); answers are written as either.
//! Fields that a question does not have are skipped in Protobuf, as Protobuf wants it, and refused in JSON.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};

use super::value::{Attributes, Value};

/// `cerbos.engine.v1.Principal`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Principal {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) policy_version: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) roles: Vec<String>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub(super) attr: Attributes,
    #[prost(string, tag = "5")]
    pub(super) scope: String,
}

/// `cerbos.engine.v1.Resource`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Resource {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) policy_version: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(btree_map = "string, message", tag = "4")]
    pub(super) attr: Attributes,
    #[prost(string, tag = "5")]
    pub(super) scope: String,
}

/// `cerbos.request.v1.AuxData`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AuxData {
    #[prost(message, optional, tag = "1")]
    pub(super) jwt: Option<Jwt>,
}

/// `cerbos.request.v1.AuxData.JWT`
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Jwt {
    #[prost(string, tag = "1")]
    pub(super) token: String,
    #[prost(string, tag = "2")]
    pub(super) key_set_id: String,
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("key_set_id", &self.key_set_id).finish_non_exhaustive()
    }
}

/// `cerbos.request.v1.CheckResourcesRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckResourcesRequest {
    #[prost(string, tag = "1")]
    pub(super) request_id: String,
    #[prost(bool, tag = "2")]
    pub(super) include_meta: bool,
    #[prost(message, optional, tag = "3")]
    pub(super) principal: Option<Principal>,
    #[prost(message, repeated, tag = "4")]
    pub(super) resources: Vec<Entry>,
    #[prost(message, optional, tag = "5")]
    pub(super) aux_data: Option<AuxData>,
}

/// A resource and what is to be done with it, of both kinds of batches.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(string, repeated, tag = "1")]
    pub(super) actions: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) resource: Option<Resource>,
}

/// `cerbos.request.v1.CheckResourceBatchRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckResourceBatchRequest {
    #[prost(string, tag = "1")]
    pub(super) request_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) principal: Option<Principal>,
    #[prost(message, repeated, tag = "3")]
    pub(super) resources: Vec<Entry>,
    #[prost(message, optional, tag = "4")]
    pub(super) aux_data: Option<AuxData>,
}

/// `cerbos.request.v1.CheckResourceSetRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckResourceSetRequest {
    #[prost(string, tag = "1")]
    pub(super) request_id: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) actions: Vec<String>,
    #[prost(message, optional, tag = "3")]
    pub(super) principal: Option<Principal>,
    #[prost(message, optional, tag = "4")]
    pub(super) resource: Option<ResourceSet>,
    #[prost(bool, tag = "5")]
    pub(super) include_meta: bool,
    #[prost(message, optional, tag = "6")]
    pub(super) aux_data: Option<AuxData>,
}

/// `cerbos.request.v1.ResourceSet`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceSet {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) policy_version: String,
    #[prost(btree_map = "string, message", tag = "3")]
    pub(super) instances: BTreeMap<String, AttributesMap>,
    #[prost(string, tag = "4")]
    pub(super) scope: String,
}

/// `cerbos.request.v1.AttributesMap`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AttributesMap {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) attr: Attributes,
}

/// `grpc.health.v1.HealthCheckRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// `cerbos.effect.v1.Effect`, by action.
pub(super) type Effects = BTreeMap<String, i32>;

/// `EFFECT_ALLOW`
pub(super) const ALLOW: i32 = 1;
/// `EFFECT_DENY`
pub(super) const DENY: i32 = 2;

/// `cerbos.response.v1.CheckResourcesResponse`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckResourcesResponse {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) request_id: String,
    #[prost(message, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) results: Vec<ResultEntry>,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) cerbos_call_id: String,
}

/// `cerbos.response.v1.CheckResourcesResponse.ResultEntry`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultEntry {
    #[prost(message, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<ResourceName>,
    #[prost(btree_map = "string, int32", tag = "2")]
    #[serde(serialize_with = "effects", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) actions: Effects,
    #[prost(message, repeated, tag = "3")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) validation_errors: Vec<ValidationError>,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<Meta>,
    #[prost(message, repeated, tag = "5")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) outputs: Vec<OutputEntry>,
}

/// `cerbos.response.v1.CheckResourcesResponse.ResultEntry.Resource`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceName {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) kind: String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) policy_version: String,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) scope: String,
}

/// The `Meta` of a result, and the `ActionMeta` of a resource set.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    #[prost(btree_map = "string, message", tag = "1")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) actions: BTreeMap<String, EffectMeta>,
    #[prost(string, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) effective_derived_roles: Vec<String>,
}

/// What decided.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EffectMeta {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) matched_policy: String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) matched_scope: String,
}

/// `cerbos.engine.v1.OutputEntry`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub(super) struct OutputEntry {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) src: String,
    #[prost(message, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) val: Option<Value>,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) action: String,
}

/// `cerbos.schema.v1.ValidationError`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub(super) struct ValidationError {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) path: String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
    #[prost(int32, tag = "3")]
    #[serde(serialize_with = "source")]
    pub(super) source: i32,
}

/// `SOURCE_PRINCIPAL`
pub(super) const OF_PRINCIPAL: i32 = 1;
/// `SOURCE_RESOURCE`
pub(super) const OF_RESOURCE: i32 = 2;

/// `cerbos.response.v1.CheckResourceBatchResponse`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckResourceBatchResponse {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) request_id: String,
    #[prost(message, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) results: Vec<BatchEntry>,
}

/// `cerbos.response.v1.CheckResourceBatchResponse.ActionEffectMap`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchEntry {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) resource_id: String,
    #[prost(btree_map = "string, int32", tag = "2")]
    #[serde(serialize_with = "effects", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) actions: Effects,
    #[prost(message, repeated, tag = "3")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) validation_errors: Vec<ValidationError>,
}

/// `cerbos.response.v1.CheckResourceSetResponse`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckResourceSetResponse {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) request_id: String,
    #[prost(btree_map = "string, message", tag = "2")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) resource_instances: BTreeMap<String, InstanceEffects>,
    #[prost(message, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<SetMeta>,
}

/// `cerbos.response.v1.CheckResourceSetResponse.ActionEffectMap`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstanceEffects {
    #[prost(btree_map = "string, int32", tag = "1")]
    #[serde(serialize_with = "effects", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) actions: Effects,
    #[prost(message, repeated, tag = "2")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) validation_errors: Vec<ValidationError>,
}

/// `cerbos.response.v1.CheckResourceSetResponse.Meta`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetMeta {
    #[prost(btree_map = "string, message", tag = "1")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) resource_instances: BTreeMap<String, Meta>,
}

/// `cerbos.response.v1.ServerInfoResponse`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerInfoResponse {
    #[prost(string, tag = "1")]
    pub(super) version: String,
    #[prost(string, tag = "2")]
    pub(super) commit: String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) build_date: String,
}

/// `grpc.health.v1.HealthCheckResponse`
#[derive(Clone, PartialEq, prost::Message, Serialize)]
pub(super) struct HealthResponse {
    #[prost(int32, tag = "1")]
    #[serde(serialize_with = "status")]
    pub(super) status: i32,
}

/// `SERVING`
pub(super) const SERVING: i32 = 1;
/// `NOT_SERVING`
pub(super) const NOT_SERVING: i32 = 2;

fn status<S: Serializer>(status: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *status == SERVING { "SERVING" } else { "NOT_SERVING" })
}

fn source<S: Serializer>(source: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *source == OF_PRINCIPAL { "SOURCE_PRINCIPAL" } else { "SOURCE_RESOURCE" })
}

fn effects<S: Serializer>(effects: &Effects, serializer: S) -> Result<S::Ok, S::Error> {
    let word = |effect: &i32| if *effect == ALLOW { "EFFECT_ALLOW" } else { "EFFECT_DENY" };
    serializer.collect_map(effects.iter().map(|(action, effect)| (action, word(effect))))
}
