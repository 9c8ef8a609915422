"""What may stand in a node_config: the keys that AWS and GCP take, nested as there.

A table's value is what may stand in it; None is anything. A list of tables is written as one of them.
Source: the parameters of EC2's RunInstances, and of an instance of Compute Engine (API version 1).
"""

from typing import Any

Keys = dict[str, Any]


def _any(names: str) -> Keys:
    return dict.fromkeys(names.split())


EC2: Keys = {
    **_any(
        "AdditionalInfo ClientToken DisableApiStop DisableApiTermination DryRun EbsOptimized ElasticGpuSpecification"
        " ElasticInferenceAccelerators EnablePrimaryIpv6 ImageId InstanceInitiatedShutdownBehavior InstanceType"
        " Ipv6AddressCount Ipv6Addresses KernelId KeyName MaxCount MinCount NetworkInterfaces Operator"
        " PrivateIpAddress RamdiskId SecondaryInterfaces SecurityGroupIds SecurityGroups SubnetId UserData"
    ),
    "SubnetIds": None,  # Ray's own: one of them is taken for every machine
    "BlockDeviceMappings": {
        **_any("DeviceName NoDevice VirtualName"),
        "Ebs": _any(
            "AvailabilityZone AvailabilityZoneId DeleteOnTermination EbsCardIndex Encrypted Iops KmsKeyId OutpostArn"
            " SnapshotId Throughput VolumeInitializationRate VolumeSize VolumeType"
        ),
    },
    "CapacityReservationSpecification": _any("CapacityReservationPreference CapacityReservationTarget"),
    "CpuOptions": _any("AmdSevSnp CoreCount NestedVirtualization ThreadsPerCore"),
    "CreditSpecification": _any("CpuCredits"),
    "EnclaveOptions": _any("Enabled"),
    "HibernationOptions": _any("Configured"),
    "IamInstanceProfile": _any("Arn Name"),
    "InstanceMarketOptions": {
        "MarketType": None,
        "SpotOptions": _any("BlockDurationMinutes InstanceInterruptionBehavior MaxPrice SpotInstanceType ValidUntil"),
    },
    "LaunchTemplate": _any("LaunchTemplateId LaunchTemplateName Version"),
    "LicenseSpecifications": _any("LicenseConfigurationArn"),
    "MaintenanceOptions": _any("AutoRecovery"),
    "MetadataOptions": _any("HttpEndpoint HttpProtocolIpv6 HttpPutResponseHopLimit HttpTokens InstanceMetadataTags"),
    "Monitoring": _any("Enabled MetricCategoryIds"),
    "NetworkPerformanceOptions": _any("BandwidthWeighting"),
    "Placement": _any(
        "Affinity AvailabilityZone AvailabilityZoneId GroupId GroupName HostId HostResourceGroupArn PartitionNumber"
        " SpreadDomain Tenancy"
    ),
    "PrivateDnsNameOptions": _any("EnableResourceNameDnsAAAARecord EnableResourceNameDnsARecord HostnameType"),
    "TagSpecifications": {"ResourceType": None, "Tags": _any("Key Value")},
}

GCP: Keys = {
    **_any(
        "advancedMachineFeatures canIpForward confidentialInstanceConfig deletionProtection description"
        " displayDevice hostname instanceEncryptionKey keyRevocationActionType labels machineType minCpuPlatform name"
        " networkPerformanceConfig params privateIpv6GoogleAccess reservationAffinity resourcePolicies"
        " shieldedInstanceConfig shieldedInstanceIntegrityPolicy sourceInstanceTemplate"
    ),
    "sourceMachineImage": None,
    "disks": {
        **_any(
            "architecture autoDelete boot deviceName diskEncryptionKey diskSizeGb forceAttach guestOsFeatures index"
            " interface kind licenses mode source type"
        ),
        "initializeParams": _any(
            "architecture description diskName diskSizeGb diskType enableConfidentialCompute labels licenses"
            " onUpdateAction provisionedIops provisionedThroughput replicaZones resourceManagerTags resourcePolicies"
            " sourceImage sourceImageEncryptionKey sourceSnapshot sourceSnapshotEncryptionKey storagePool"
        ),
    },
    "guestAccelerators": _any("acceleratorCount acceleratorType"),
    "metadata": {"fingerprint": None, "kind": None, "items": _any("key value")},
    "networkInterfaces": {
        **_any(
            "aliasIpRanges fingerprint internalIpv6PrefixLength ipv6AccessConfigs ipv6Address kind name network"
            " networkAttachment networkIP nicType queueCount stackType subnetwork"
        ),
        "accessConfigs": _any(
            "externalIpv6 externalIpv6PrefixLength kind name natIP networkTier publicPtrDomainName"
            " securityPolicy setPublicPtr type"
        ),
    },
    "scheduling": _any(
        "automaticRestart availabilityDomain hostErrorTimeoutSeconds instanceTerminationAction"
        " localSsdRecoveryTimeout locationHint maxRunDuration minNodeCpus nodeAffinities onHostMaintenance"
        " onInstanceStopAction preemptible provisioningModel terminationTime"
    ),
    "serviceAccounts": _any("email scopes"),
    "tags": _any("fingerprint items"),
}
