// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Many calls in one
/// @notice What wallets and x402 expect at this address on every chain: reads of many contracts at one block. It holds
/// nothing and has no state, so whoever calls it risks only what they send with that call.
contract Multicall3 {
    struct Call {
        address target;
        bytes callData;
    }

    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Call3Value {
        address target;
        bool allowFailure;
        uint256 value;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    /// @notice A call that was required to succeed failed; its place in the list and its reason are given.
    error CallFailed(uint256 index, bytes reason);
    /// @notice The values of the calls must sum up to what was sent.
    error ValueMismatch(uint256 given, uint256 required);

    /// @notice Make all calls; all must succeed.
    function aggregate(Call[] calldata calls)
        external
        payable
        returns (uint256 blockNumber, bytes[] memory returnData)
    {
        blockNumber = block.number;
        returnData = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            returnData[i] = _call(i, calls[i].target, 0, calls[i].callData, true).returnData;
        }
    }

    /// @notice Make all calls; say which succeeded, or revert at the first that did not.
    function tryAggregate(bool requireSuccess, Call[] calldata calls)
        public
        payable
        returns (Result[] memory returnData)
    {
        returnData = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            returnData[i] = _call(i, calls[i].target, 0, calls[i].callData, requireSuccess);
        }
    }

    /// @notice Like tryAggregate, with the block.
    function tryBlockAndAggregate(bool requireSuccess, Call[] calldata calls)
        public
        payable
        returns (uint256 blockNumber, bytes32 blockHash, Result[] memory returnData)
    {
        return (block.number, blockhash(block.number), tryAggregate(requireSuccess, calls));
    }

    /// @notice Like aggregate, with the block's hash.
    function blockAndAggregate(Call[] calldata calls)
        external
        payable
        returns (uint256 blockNumber, bytes32 blockHash, Result[] memory returnData)
    {
        return tryBlockAndAggregate(true, calls);
    }

    /// @notice Make all calls; each says whether it may fail.
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory returnData) {
        returnData = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            returnData[i] = _call(i, calls[i].target, 0, calls[i].callData, !calls[i].allowFailure);
        }
    }

    /// @notice Make all calls, each with a value; the values must sum up to what was sent.
    function aggregate3Value(Call3Value[] calldata calls) external payable returns (Result[] memory returnData) {
        returnData = new Result[](calls.length);
        uint256 sum = 0;
        for (uint256 i = 0; i < calls.length; ++i) {
            Call3Value calldata one = calls[i];
            sum += one.value;
            returnData[i] = _call(i, one.target, one.value, one.callData, !one.allowFailure);
        }
        require(msg.value == sum, ValueMismatch(msg.value, sum));
    }

    /// @notice The hash of one of the last 256 blocks.
    function getBlockHash(uint256 blockNumber) external view returns (bytes32 blockHash) {
        return blockhash(blockNumber);
    }

    /// @notice The hash of the block before this.
    function getLastBlockHash() external view returns (bytes32 blockHash) {
        return blockhash(block.number - 1);
    }

    /// @notice This block's number.
    function getBlockNumber() external view returns (uint256 blockNumber) {
        return block.number;
    }

    /// @notice This block's time.
    function getCurrentBlockTimestamp() external view returns (uint256 timestamp) {
        return block.timestamp;
    }

    /// @notice This block's gas limit.
    function getCurrentBlockGasLimit() external view returns (uint256 gaslimit) {
        return block.gaslimit;
    }

    /// @notice This block's proposer.
    function getCurrentBlockCoinbase() external view returns (address coinbase) {
        return block.coinbase;
    }

    /// @notice This block's random number, which took difficulty's place.
    function getCurrentBlockDifficulty() external view returns (uint256 difficulty) {
        return block.prevrandao;
    }

    /// @notice This block's base fee.
    function getBasefee() external view returns (uint256 basefee) {
        return block.basefee;
    }

    /// @notice The chain's id.
    function getChainId() external view returns (uint256 chainid) {
        return block.chainid;
    }

    /// @notice An account's wei.
    function getEthBalance(address addr) external view returns (uint256 balance) {
        return addr.balance;
    }

    function _call(uint256 index, address target, uint256 value, bytes calldata data, bool mustSucceed)
        private
        returns (Result memory result)
    {
        (result.success, result.returnData) = target.call{value: value}(data);
        require(result.success || !mustSucceed, CallFailed(index, result.returnData));
    }
}
